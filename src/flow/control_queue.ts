import { copyBytes } from "../protocol/copy_bytes.ts";
import { headerSize, LONGEST_CONTROL, writeHeader } from "../protocol/frame_header.ts";
import { applyMask } from "../protocol/mask.ts";
import { FIN, PONG } from "../protocol/opcode.ts";
import { type Source, sourceOf } from "../protocol/source.ts";
import { acquire, type Buffer, release, SIZES } from "../memory/buffer_pool.ts";

/** The most pings and pongs of the application that may wait at the same time. */
export const MAX_REQUESTED = 64;

// The largest number of answers to pings that may wait. A read of 64 KiB may contain ten thousand pings.
const MAX_ANSWERS = 64;

/** Encodes a control frame (RFC 6455 5.5), masked with `key`, or unmasked if that is `null`. */
export function encodeControl(opcode: number, payload: Uint8Array, key: number | null): Uint8Array {
  if (payload.length > LONGEST_CONTROL) {
    throw new RangeError(`A control frame can't carry ${payload.length} bytes`);
  }
  const bytes = new Uint8Array(headerSize(payload.length, key !== null) + payload.length);
  putControl(sourceOf(bytes), 0, opcode, sourceOf(payload), 0, payload.length, key);
  return bytes;
}

/** Writes a frame with the payload `source[start..end)`; returns the position after it. */
function putControl(
  into: Source,
  at: number,
  opcode: number,
  source: Source,
  start: number,
  end: number,
  key: number | null,
): number {
  const { bytes, view } = into, length = end - start;
  let body = writeHeader(bytes, at, FIN | opcode, length, key === null ? 0 : 0x80);
  if (key !== null) {
    view.setInt32(body, key, true);
    body += 4;
  }
  copyBytes(source, start, end, into, body);
  if (key !== null) applyMask(view, body, body + length, key);
  return body + length;
}

/**
 * Control frames that wait for the kernel: frames of the application, which are bounded in number, and answers to pings, of
 * which only the latest 64 are kept (RFC 6455 5.5.3).
 */
export class ControlQueue {
  // Answers are encoded one after the other into one buffer, so that a flood of pings makes no garbage.
  #buffer: Buffer | null = null;
  #from = 0;
  #to = 0;
  #answers = 0;
  #requested: Uint8Array[] = [];

  /** Whether no frame waits. */
  get empty(): boolean {
    return this.#answers === 0 && this.#requested.length === 0;
  }

  /** Whether the application has as many frames waiting as it may. */
  get full(): boolean {
    return this.#requested.length >= MAX_REQUESTED;
  }

  /** Adds the answer to a ping with the payload `source[start..end)`; if too many wait, it replaces the oldest. */
  answer(source: Source, start: number, end: number, key: number | null): void {
    const masked = key !== null;
    if (this.#answers === MAX_ANSWERS) {
      const oldest = this.#buffer!.bytes[this.#from + 1] & 0x7f;
      this.#from += headerSize(oldest, masked) + oldest;
      this.#answers--;
    }
    const length = end - start, buffer = this.#room(headerSize(length, masked) + length);
    this.#to = putControl(buffer, this.#to, PONG, source, start, end, key);
    this.#answers++;
  }

  /** Adds a frame of the application or of keepalive. */
  request(frame: Uint8Array): void {
    this.#requested.push(frame);
  }

  /** Takes all frames that wait, in one piece. */
  take(): Uint8Array {
    let length = this.#to - this.#from;
    for (const frame of this.#requested) length += frame.length;
    const bytes = new Uint8Array(length);
    let at = 0;
    if (this.#answers > 0) {
      bytes.set(this.#buffer!.bytes.subarray(this.#from, this.#to));
      at = this.#to - this.#from;
    }
    for (const frame of this.#requested) {
      bytes.set(frame, at);
      at += frame.length;
    }
    this.clear();
    return bytes;
  }

  /** Drops all frames that wait. */
  clear(): void {
    if (this.#buffer !== null) release(this.#buffer);
    this.#buffer = null;
    this.#answers = this.#from = this.#to = 0;
    this.#requested.length = 0;
  }

  #room(size: number): Buffer {
    let buffer = this.#buffer;
    if (buffer === null) {
      buffer = this.#buffer = acquire(0);
      this.#from = this.#to = buffer.start;
    }
    const capacity = SIZES[buffer.size], waiting = this.#to - this.#from;
    if (this.#to + size <= buffer.start + capacity) return buffer;
    const before = buffer;
    // Moving the answers up in the same buffer must make room for many, or it would happen with every ping.
    if (waiting + size > capacity * 3 / 4) buffer = this.#buffer = acquire(buffer.size + 1);
    buffer.bytes.set(before.bytes.subarray(this.#from, this.#to), buffer.start);
    if (before !== buffer) release(before);
    this.#from = buffer.start;
    this.#to = buffer.start + waiting;
    return buffer;
  }
}
