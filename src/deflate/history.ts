import { NOTHING } from "../util/bytes.ts";

// After a block with BFINAL zlib takes no more data. A reset changes that, but loses the window, to which later messages
// refer (RFC 7692 7.2.3.4 with context takeover). The handle of node:zlib doesn't give the window away, so a copy of the
// latest output is kept here.

/** The latest output of an inflater, as long as its window. */
export class History {
  readonly #size: number;
  #bytes: Uint8Array<ArrayBuffer> = NOTHING;
  /** The position of the next byte. */
  #at = 0;
  /** Whether the whole window is in use; the oldest byte is then at `#at`. */
  #full = false;

  /** @param windowBits Base-two logarithm of the window. */
  constructor(windowBits: number) {
    this.#size = 1 << windowBits;
  }

  /** The number of bytes that are kept. */
  get length(): number {
    return this.#full ? this.#size : this.#at;
  }

  /** Adds the first `length` bytes of `bytes`, which the inflater has just produced. */
  add(bytes: Uint8Array, length: number): void {
    const size = this.#size;
    if (length >= size) {
      this.#reserve(size);
      this.#bytes.set(bytes.subarray(length - size, length));
      this.#at = 0;
      this.#full = true;
      return;
    }
    if (!this.#full) this.#reserve(Math.min(this.#at + length, size));
    const room = size - this.#at;
    const first = Math.min(length, room);
    this.#bytes.set(bytes.subarray(0, first), this.#at);
    this.#at += first;
    if (first === room) {
      this.#full = true;
      this.#at = length - first;
      this.#bytes.set(bytes.subarray(first, length));
    }
  }

  /** The bytes as a stored block of deflate data (RFC 1951 3.2.4), in one to three pieces. */
  storedBlock(): Uint8Array[] {
    const length = this.length;
    const low = length & 0xff;
    const high = length >> 8;
    const pieces: Uint8Array[] = [Uint8Array.of(0, low, high, low ^ 0xff, high ^ 0xff)];
    if (this.#full) pieces.push(this.#bytes.subarray(this.#at, this.#size));
    if (this.#at > 0) pieces.push(this.#bytes.subarray(0, this.#at));
    return pieces;
  }

  /** Grows by doubling, so that a connection with few and short messages needn't pay for a whole window. */
  #reserve(length: number): void {
    const { length: old } = this.#bytes;
    if (length <= old) return;
    const grown = new Uint8Array(Math.min(this.#size, Math.max(length, old * 2, 512)));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}
