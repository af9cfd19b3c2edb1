import { headerSize, LONGEST_HEADER, writeHeader } from "../protocol/frame_header.ts";
import { NOTHING } from "../util/bytes.ts";
import { advanceKey, applyMask } from "../protocol/mask.ts";

// The length of a compressed payload comes before it and is known after it. So the payload grows in
// chunks, the first with room for the longest header in front: nothing is copied to join the two, and
// each chunk is a write of its own later.

const CHUNK = 64 * 1024;
/** zlib must have room for more than six bytes to end a flush, or it writes the end again. */
const MIN_ROOM = 16;

/** A frame whose payload is being compressed; masked as it grows, since a long one takes its time. */
export class CompressedFrame {
  /** The payload's length so far. */
  length = 0;
  /** The chunk that is being filled; {@linkcode makeRoom} makes sure that there is one. */
  chunk: Uint8Array<ArrayBuffer> = NOTHING;
  /** Where the next byte goes in it. */
  at = LONGEST_HEADER;

  readonly #expected: number;
  readonly #key: number | null;
  #rotated: number;
  #view: DataView | null = null;
  /** Chunks that are full, but for what didn't fit. */
  readonly #full: Uint8Array[] = [];

  /**
   * Allocates nothing yet, since it may wait for long.
   *
   * @param expected How long the payload will be at most, if all goes as usual.
   * @param key The masking key, or null for a server's frame.
   */
  constructor(expected: number, key: number | null) {
    this.#key = key;
    this.#rotated = key ?? 0;
    this.#expected = expected;
  }

  /** To be called before something is written to the chunk. */
  makeRoom(): void {
    if (this.chunk.length - this.at >= MIN_ROOM) return;
    if (this.chunk === NOTHING) {
      this.#allocate(Math.min(CHUNK, LONGEST_HEADER + this.#expected + 2 * MIN_ROOM));
      return;
    }
    this.#full.push(this.#full.length === 0 ? this.chunk.subarray(0, this.at) : this.#filled());
    this.#allocate(CHUNK);
    this.at = 0;
  }

  /** So many bytes of payload have been written to the chunk. */
  advance(count: number): void {
    if (this.#key !== null && count > 0) {
      applyMask(this.#view!, this.at, this.at + count, this.#rotated);
      this.#rotated = advanceKey(this.#rotated, count);
    }
    this.at += count;
    this.length += count;
  }

  /** Takes the last four bytes off, wherever the chunks were cut (RFC 7692 7.2.1, step 3). */
  dropTail(): void {
    this.length -= 4;
    const inLast = this.#full.length === 0 ? this.at - LONGEST_HEADER : this.at;
    this.at -= Math.min(4, inLast);
    const excess = 4 - inLast;
    if (excess > 0) {
      const chunk = this.#full[this.#full.length - 1];
      this.#full[this.#full.length - 1] = chunk.subarray(0, chunk.length - excess);
    }
  }

  /**
   * Puts the header in front.
   *
   * @param first FIN, reserved bits and opcode.
   * @returns The whole frame, in pieces.
   */
  finish(first: number): Uint8Array[] {
    // Of an empty fragment nothing is left but the header.
    this.makeRoom();
    const masked = this.#key !== null;
    const alone = this.#full.length === 0;
    const head = alone ? this.chunk.subarray(0, this.at) : this.#full[0];
    const start = LONGEST_HEADER - headerSize(this.length, masked);
    const keyAt = writeHeader(head, start, first, this.length, masked ? 0x80 : 0);
    if (masked) {
      new DataView(head.buffer, head.byteOffset, head.length).setInt32(keyAt, this.#key!, true);
    }
    const whole = head.subarray(start);
    if (alone) return [whole];
    this.#full[0] = whole;
    if (this.at > 0) this.#full.push(this.#filled());
    return this.#full;
  }

  /** The payload by itself, in pieces. */
  payload(): Uint8Array[] {
    const pieces = this.#full.slice();
    pieces.push(this.#filled());
    pieces[0] = pieces[0].subarray(LONGEST_HEADER);
    return pieces;
  }

  #allocate(length: number): void {
    this.chunk = new Uint8Array(length);
    this.#view = new DataView(this.chunk.buffer);
  }

  #filled(): Uint8Array {
    return this.at === this.chunk.length ? this.chunk : this.chunk.subarray(0, this.at);
  }
}
