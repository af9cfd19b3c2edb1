import type { ResponseHead } from "./response_head.ts";

/** How much of a refusal's body is kept. */
export const MAX_REFUSAL_BODY = 4096;

const CR = 0x0d;
const LF = 0x0a;

/**
 * Collects the body of a refused handshake: its first 4 KiB, whether its length is announced, it comes in chunks
 * (RFC 9112 7.1), or the end of the stream is its end (6.3). It is an aid for whoever reads the error, so a malformed
 * one ends where it is malformed and isn't an error itself.
 */
export class RefusalBody {
  readonly #kept: Uint8Array = new Uint8Array(MAX_REFUSAL_BODY);
  #length = 0;
  /** Bytes left of the body or of the current chunk. */
  #left: number;
  readonly #isChunked: boolean;
  /** Where the chunked coding is: in a size, behind it on that line, in data, or behind the data. */
  #state: "size" | "extension" | "data" | "end" = "size";
  #sizeDigits = 0;
  #done: boolean;

  /**
   * Reads from the head how the body is framed.
   *
   * @param head The response's head.
   */
  constructor(head: ResponseHead) {
    const { fields, status } = head;
    this.#isChunked = fields.get("transfer-encoding")?.toLowerCase().endsWith("chunked") ?? false;
    const length = fields.get("content-length");
    const isLength = !this.#isChunked && length !== null && /^\d+$/.test(length);
    this.#left = this.#isChunked ? 0 : isLength ? Number(length) : Infinity;
    this.#done = status === 101 || status === 204 || status === 304 || this.#left === 0 && isLength;
  }

  /** Whether nothing more is to be kept. */
  get done(): boolean {
    return this.#done;
  }

  /** What has been collected so far, a copy. */
  get bytes(): Uint8Array {
    return this.#kept.slice(0, this.#length);
  }

  /**
   * Takes the next bytes behind the head.
   *
   * @param bytes What was read; the buffer is the caller's again on return.
   * @returns Whether the body is complete or its first 4 KiB are; until then, more bytes or the end of the stream.
   */
  push(bytes: Uint8Array): boolean {
    let at = 0;
    while (!this.#done && at < bytes.length) {
      if (!this.#isChunked || this.#state === "data") at += this.#keep(bytes, at);
      else this.#readFraming(bytes[at++]);
    }
    return this.#done;
  }

  #keep(bytes: Uint8Array, at: number): number {
    const room = MAX_REFUSAL_BODY - this.#length;
    const count = Math.min(bytes.length - at, this.#left, room);
    this.#kept.set(bytes.subarray(at, at + count), this.#length);
    this.#length += count;
    this.#left -= count;
    if (this.#left === 0 && this.#isChunked) this.#state = "end";
    if (count === room || (this.#left === 0 && !this.#isChunked)) this.#done = true;
    return count;
  }

  #readFraming(byte: number): void {
    if (this.#state === "end") {
      if (byte === LF) {
        this.#state = "size";
        this.#sizeDigits = 0;
      } else if (byte !== CR) this.#done = true;
      return;
    }
    if (byte === LF) {
      // The last chunk has the size 0; its trailers are of no interest.
      if (this.#left === 0) this.#done = true;
      this.#state = "data";
    } else if (this.#state === "size") {
      const digit = parseInt(String.fromCharCode(byte), 16);
      if (!Number.isNaN(digit) && ++this.#sizeDigits <= 12) this.#left = this.#left * 16 + digit;
      else if (this.#sizeDigits === 0 || this.#sizeDigits > 12) this.#done = true;
      else this.#state = "extension";
    }
  }
}
