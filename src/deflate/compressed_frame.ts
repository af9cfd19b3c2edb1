import { headerSize, LONGEST_HEADER, writeHeader } from "../protocol/frame_header.ts";
import { NOTHING } from "../util/bytes.ts";
import { advanceKey, applyMask } from "../protocol/mask.ts";

// The length of a compressed payload precedes it in the frame, but is known only afterwards. So the payload grows in
// chunks, the first with room for the longest header in front: nothing is copied to join the two, and each chunk is
// written on its own.

const CHUNK = 64 * 1024;
/** To end a flush zlib needs room for more than six bytes; with less it would write the end again. */
const MIN_ROOM = 16;

/** A frame whose payload is being compressed. It is masked as it grows, so that no slice has to mask all of it. */
export class CompressedFrame {
  /** The payload's length so far. */
  length = 0;
  /** The chunk that is being filled; {@linkcode makeRoom} makes the first one. */
  chunk: Uint8Array<ArrayBuffer> = NOTHING;
  /** The position of the next byte in the chunk. */
  at = LONGEST_HEADER;

  readonly #expected: number;
  readonly #key: number | null;
  #rotated: number;
  #view: DataView | null = null;
  /** Chunks that are complete. */
  readonly #full: Uint8Array[] = [];

  /**
   * Makes an empty frame. Nothing is allocated yet, since the frame may wait for long.
   *
   * @param expected The expected maximum length of the payload.
   * @param key The masking key, or null for a server's frame.
   */
  constructor(expected: number, key: number | null) {
    this.#key = key;
    this.#rotated = key ?? 0;
    this.#expected = expected;
  }

  /** Makes room in the chunk; to be called before bytes are written to it. */
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

  /** Counts and masks the next `count` bytes of payload, which have been written to the chunk. */
  advance(count: number): void {
    if (this.#key !== null && count > 0) {
      applyMask(this.#view!, this.at, this.at + count, this.#rotated);
      this.#rotated = advanceKey(this.#rotated, count);
    }
    this.at += count;
    this.length += count;
  }

  /** Removes the last four bytes, which may be in two chunks (RFC 7692 7.2.1, step 3). */
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
   * Writes the header in front of the payload.
   *
   * @param first FIN, reserved bits and opcode.
   * @returns The whole frame, in pieces.
   */
  finish(first: number): Uint8Array[] {
    // An empty fragment has no chunk yet, but needs room for the header.
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

  /** The payload without a header, in pieces. */
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
