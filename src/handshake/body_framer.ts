import { BadHeadError } from "./bad_head_error.ts";
import { FIELD_CHAR, TOKEN_CHAR } from "./chars.ts";

const HTAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SP = 0x20;
const COLON = 0x3a;
const SEMICOLON = 0x3b;

const SIZE = 0; // the hexadecimal digits of a chunk's size
const SPACE = 1; // white space after them
const EXTENSION = 2; // extensions after the size
const SIZE_END = 3; // the LF of that line
const DATA = 4;
const DATA_CR = 5; // after the data
const DATA_LF = 6;
const TRAILER = 7; // the start of a line after the last chunk
const TRAILER_NAME = 8; // inside the name of a field
const TRAILER_LINE = 9; // inside its value
const TRAILER_LF = 10; // the LF of such a line
const END_LF = 11; // the LF of the empty line

/** The most digits of a chunk's size: a larger number would not be exact. */
const MAX_DIGITS = 12;
/** The most bytes of extensions and trailers. */
const MAX_OVERHEAD = 16 * 1024;

/**
 * Finds the data of a message's body, and its end (RFC 9112 6), by its length or by the chunked coding. The coding is read
 * strictly: if a proxy in front of us saw the end elsewhere, it would take a body for a request, or a request for a body.
 */
export class BodyFramer {
  /** Whether the body is complete. */
  done: boolean;
  /** The index at which the data of the last `take` begins. */
  dataStart = 0;
  readonly #chunked: boolean;
  #left: number;
  #state = SIZE;
  #digits = 0;
  #overhead = 0;

  /**
   * @param length The length in bytes, `"chunked"`, or `Infinity` if the body ends with the stream.
   */
  constructor(length: number | "chunked") {
    this.#chunked = length === "chunked";
    this.#left = length === "chunked" ? 0 : length;
    this.done = length === 0;
  }

  /**
   * Takes the next bytes, up to the end of one run of data.
   *
   * @param bytes The bytes that were read.
   * @param at The index at which to continue.
   * @returns The index after the bytes that were taken. The data is from `dataStart` to there, and may be empty.
   * @throws {BadHeadError} If the chunked coding is broken.
   */
  take(bytes: Uint8Array, at: number): number {
    while (!this.done && at < bytes.length) {
      if (!this.#chunked || this.#state === DATA) {
        const count = Math.min(bytes.length - at, this.#left);
        this.dataStart = at;
        this.#left -= count;
        if (this.#left === 0) {
          if (this.#chunked) this.#state = DATA_CR;
          else this.done = true;
        }
        return at + count;
      }
      this.#coding(bytes[at++]);
    }
    this.dataStart = at;
    return at;
  }

  #coding(byte: number): void {
    switch (this.#state) {
      case SIZE: {
        const digit = hexDigit(byte);
        if (digit >= 0) {
          this.#left = this.#left * 16 + digit;
          if (++this.#digits > MAX_DIGITS) throw broken();
        } else {
          if (this.#digits === 0) throw broken();
          this.#sizeEnds(byte);
        }
        return;
      }
      case SPACE:
        this.#count();
        this.#sizeEnds(byte);
        return;
      case EXTENSION:
        this.#count();
        if (byte === CR) this.#state = SIZE_END;
        else if (FIELD_CHAR[byte] === 0) throw broken();
        return;
      case SIZE_END:
        expect(byte, LF);
        this.#digits = 0;
        this.#state = this.#left === 0 ? TRAILER : DATA;
        return;
      case DATA_CR:
        expect(byte, CR);
        this.#state = DATA_LF;
        return;
      case DATA_LF:
        expect(byte, LF);
        this.#state = SIZE;
        return;
      case TRAILER:
        this.#count();
        if (byte === CR) this.#state = END_LF;
        else if (TOKEN_CHAR[byte] === 1) this.#state = TRAILER_NAME;
        else throw broken();
        return;
      case TRAILER_NAME:
        this.#count();
        if (byte === COLON) this.#state = TRAILER_LINE;
        else if (TOKEN_CHAR[byte] === 0) throw broken();
        return;
      case TRAILER_LINE:
        this.#count();
        if (byte === CR) this.#state = TRAILER_LF;
        else if (FIELD_CHAR[byte] === 0) throw broken();
        return;
      case TRAILER_LF:
        expect(byte, LF);
        this.#state = TRAILER;
        return;
      case END_LF:
        expect(byte, LF);
        this.done = true;
    }
  }

  /** Only white space and extensions may follow the digits: some parsers read "3 4" as 52 bytes (RFC 9112 7.1.1). */
  #sizeEnds(byte: number): void {
    if (byte === CR) this.#state = SIZE_END;
    else if (byte === SEMICOLON) this.#state = EXTENSION;
    else if (byte === SP || byte === HTAB) this.#state = SPACE;
    else throw broken();
  }

  #count(): void {
    if (++this.#overhead > MAX_OVERHEAD) throw broken();
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

function expect(byte: number, expected: number): void {
  if (byte !== expected) throw broken();
}

function broken(): BadHeadError {
  return new BadHeadError(400, "The body's chunked coding is broken");
}
