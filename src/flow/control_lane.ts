import { writeHeader } from "../protocol/frame_header.ts";
import { applyMask } from "../protocol/mask.ts";
import { FIN } from "../protocol/opcode.ts";

/** Pings and pongs of the application that may wait at the same time. */
export const MAX_REQUESTED = 64;

// Of the pings that came in one read, so many are answered: a read of 64 KiB may hold ten thousand.
const MAX_ANSWERS = 64;

/** Encodes a control frame (RFC 6455 5.5); `key` masks it, `null` doesn't. */
export function encodeControl(opcode: number, payload: Uint8Array, key: number | null): Uint8Array {
  const length = payload.length, body = key === null ? 2 : 6;
  const frame = new Uint8Array(body + length);
  writeHeader(frame, 0, FIN | opcode, length, key === null ? 0 : 0x80);
  frame.set(payload, body);
  if (key !== null) {
    const view = new DataView(frame.buffer);
    view.setInt32(2, key, true);
    applyMask(view, body, body + length, key);
  }
  return frame;
}

/**
 * Control frames that wait for the system: what the application asked for, bounded in number, and the answers to
 * pings, bounded by keeping the latest only (RFC 6455 5.5.3). "Latest" goes by batch: pings that came in one read
 * are each answered, the latest 64 of them, while the peer takes the answers; and a peer that takes none costs one batch.
 */
export class ControlLane {
  #answers: Uint8Array[] = [];
  #requested: Uint8Array[] = [];
  #stale = false; // whether the answers are from an earlier batch

  /** Whether nothing waits. */
  get empty(): boolean {
    return this.#answers.length === 0 && this.#requested.length === 0;
  }

  /** Whether the application has as much waiting as it may. */
  get full(): boolean {
    return this.#requested.length >= MAX_REQUESTED;
  }

  /** Adds the answer to a ping, in place of those to the pings of earlier batches. */
  answer(frame: Uint8Array): void {
    if (this.#stale) {
      this.#answers = [];
      this.#stale = false;
    }
    if (this.#answers.length === MAX_ANSWERS) this.#answers.shift();
    this.#answers.push(frame);
  }

  /** Notes that what was answered so far belongs to an earlier batch. */
  endBatch(): void {
    this.#stale = this.#answers.length > 0;
  }

  /** Adds a frame that the application asked for. */
  request(frame: Uint8Array): void {
    this.#requested.push(frame);
  }

  /** Takes all that waits, as one piece. */
  take(): Uint8Array {
    const frames = this.#answers.length === 0
      ? this.#requested
      : this.#requested.length === 0
      ? this.#answers
      : [...this.#answers, ...this.#requested];
    this.clear();
    if (frames.length === 1) return frames[0];
    let length = 0;
    for (const frame of frames) length += frame.length;
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const frame of frames) {
      bytes.set(frame, at);
      at += frame.length;
    }
    return bytes;
  }

  /** Forgets all that waits. */
  clear(): void {
    this.#answers = [];
    this.#requested = [];
    this.#stale = false;
  }
}
