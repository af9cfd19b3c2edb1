import { BadHeadError } from "./bad_head_error.ts";
import { FIELD_CHAR, TOKEN_CHAR } from "./chars.ts";
import { decodeLatin1 } from "./latin1.ts";

const CR = 0x0d;
const LF = 0x0a;
const HTAB = 0x09;
const SP = 0x20;
const INITIAL_BUFFER_SIZE = 512;

/**
 * Finds the head of an HTTP/1.1 message in a stream of bytes (RFC 9112 2.1), which may be split anywhere.
 *
 * - A head that arrives whole is converted to text directly from the caller's buffer.
 * - A head that comes in pieces is kept in a buffer that doubles, and the search continues where it stopped, so the work is
 *   linear in the number of bytes.
 * - Never more than `maxBytes` are kept.
 * - An incomplete head that can't become valid fails at once. So a peer that speaks another protocol, such as TLS, is
 *   refused at its first byte, and not at the handshake timeout.
 *
 * The parser finds the end of the head and checks its alphabet; {@linkcode parseRequestHead} and
 * {@linkcode parseResponseHead} read the contents. Once a head is complete the parser is ready for the next one.
 */
export class HeadParser {
  readonly #maxBytes: number;
  readonly #folds: boolean;
  #buffer: Uint8Array | null = null;
  #length = 0;
  #text = "";

  /**
   * Makes a parser for a new stream.
   *
   * @param maxBytes The largest head in bytes, its closing empty line included.
   * @param folds Whether a line may begin with white space and so continue the previous one (RFC 9112 5.2).
   */
  constructor(maxBytes: number, folds = false) {
    this.#maxBytes = maxBytes;
    this.#folds = folds;
  }

  /** The last complete head, one code unit per byte, closing empty line included; `""` before there is one. */
  get text(): string {
    return this.#text;
  }

  /** Whether the last head, complete or not, begins a HEAD request, whose answer has no content (RFC 9110 9.3.2). */
  get isHeadRequest(): boolean {
    const start = this.#length === 0 || this.#buffer === null
      ? this.#text
      : decodeLatin1(this.#buffer, 0, Math.min(this.#length, 7));
    return /^(?:\r\n)?HEAD /.test(start);
  }

  /** The bytes that are kept of an incomplete head. */
  get pendingBytes(): number {
    return this.#length;
  }

  /**
   * Reads the next bytes of the stream.
   *
   * @param bytes The received bytes; the caller may reuse the buffer after the call.
   * @returns -1 while the head isn't complete, then the index in `bytes` just after it, where the first frames or a body
   * begin.
   * @throws {BadHeadError} If the head is too large (431) or can't become valid (400).
   */
  push(bytes: Uint8Array): number {
    const before = this.#length;
    const room = this.#maxBytes - before;
    const taken = bytes.length < room ? bytes.length : room;
    if (before === 0) {
      const end = findEnd(bytes, 0, taken);
      if (end !== -1) {
        this.#text = decodeLatin1(bytes, 0, end);
        return end;
      }
    }
    const buffer = this.#keep(bytes, taken);
    if (before !== 0) {
      // The end of the head may begin in the last three bytes of the earlier ones.
      const end = findEnd(buffer, before > 3 ? before - 3 : 0, this.#length);
      if (end !== -1) {
        this.#text = decodeLatin1(buffer, 0, end);
        this.#buffer = null;
        this.#length = 0;
        return end - before;
      }
    }
    checkIncomplete(buffer, before, this.#length, this.#folds);
    if (this.#length >= this.#maxBytes) {
      throw new BadHeadError(431, `The head is larger than ${this.#maxBytes} bytes`);
    }
    return -1;
  }

  #keep(bytes: Uint8Array, taken: number): Uint8Array {
    const needed = this.#length + taken;
    let buffer = this.#buffer;
    if (buffer === null || buffer.length < needed) {
      const doubled = Math.max(needed, INITIAL_BUFFER_SIZE, 2 * (buffer?.length ?? 0));
      const grown = new Uint8Array(Math.min(doubled, this.#maxBytes));
      if (buffer !== null) grown.set(buffer.subarray(0, this.#length));
      this.#buffer = buffer = grown;
    }
    buffer.set(taken === bytes.length ? bytes : bytes.subarray(0, taken), this.#length);
    this.#length = needed;
    return buffer;
  }
}

/**
 * Finds CR LF CR LF between `from` and `to`; returns the index after it, or -1. The byte at `at` might be the last of the
 * four. If it is neither CR nor LF it can't be any of them, so three of four bytes are skipped.
 */
function findEnd(bytes: Uint8Array, from: number, to: number): number {
  let at = from + 3;
  while (at < to) {
    const byte = bytes[at];
    if (byte === LF) {
      if (bytes[at - 1] === CR && bytes[at - 2] === LF && bytes[at - 3] === CR) return at + 1;
      at += 2;
    } else if (byte === CR) {
      at += 1;
    } else {
      at += 4;
    }
  }
  return -1;
}

/**
 * Refuses bytes that no valid head can contain. RFC 9112 2.2 allows a recipient to read a bare LF as the end of a line, but
 * request smuggling exploits parsers that differ in this. So a bare LF is refused, and a bare CR, too. A line that begins
 * with white space is an obsolete fold, which a server has to refuse and a user agent has to accept (RFC 9112 5.2).
 */
function checkIncomplete(buffer: Uint8Array, from: number, to: number, folds: boolean): void {
  // An alert or a handshake record of any version of TLS (RFC 8446 5.1): the most common mistake.
  if (from === 0 && (buffer[0] === 0x15 || buffer[0] === 0x16) && (to === 1 || buffer[1] === 3)) {
    const hint = buffer[0] === 0x15 ? "use wss:" : "use ws:, or listen with tls";
    throw new BadHeadError(400, `TLS was received where HTTP was expected: ${hint}`);
  }
  let previous = from === 0 ? LF : buffer[from - 1];
  for (let at = from; at < to; at++) {
    const byte = buffer[at];
    if (byte === LF) {
      if (previous !== CR) throw new BadHeadError(400, "The head has a line feed without a CR");
    } else if (previous === CR) {
      throw new BadHeadError(400, "The head has a CR without a line feed");
    } else if (
      byte !== CR && (previous === LF ? TOKEN_CHAR : FIELD_CHAR)[byte] === 0 &&
      !(folds && (byte === SP || byte === HTAB))
    ) {
      const hex = byte.toString(16).padStart(2, "0");
      throw new BadHeadError(400, `The HTTP head has the byte 0x${hex}, which isn't allowed there`);
    }
    previous = byte;
  }
}
