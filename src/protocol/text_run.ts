import { applyMask } from "./mask.ts";
import { FIN, TEXT } from "./opcode.ts";
import type { Source } from "./source.ts";
import { decodeAscii, isAscii } from "./text.ts";

// Making a string takes a call that costs as much as decoding a kilobyte. So short texts that were received together are
// decoded together, with the headers between them, and each is cut from that string. The string stays in memory as long as
// any of its parts, so its length is limited.
const LONGEST = 2 * 1024;
/** A longer text has a longer header, and is worth a call. */
const SHORT = 125;
/** Bytes of a header that aren't the length of its masking key. */
const HEADER = 2;

/** Short ASCII texts that follow one another in a source, decoded together. */
export class TextRun {
  readonly #maskBit: number;
  readonly #header: number;
  #source: Source | null = null;
  #text = "";
  #from = 0; // the part of the source that was decoded to `#text`
  #to = 0;

  /** @param maskBit The bit that the second byte of a frame has in this direction. */
  constructor(maskBit: number) {
    this.#maskBit = maskBit;
    this.#header = maskBit === 0 ? HEADER : HEADER + 4;
  }

  /** Whether some decoded texts were not cut yet. */
  get open(): boolean {
    return this.#source !== null;
  }

  /** Notes that the bytes from `start` on are next. If the run doesn't begin before them, the source was refilled. */
  startAt(start: number): void {
    if (start <= this.#from) this.#drop();
  }

  /**
   * Decodes the text of a whole frame.
   *
   * @param limit The end of the received bytes.
   * @returns The text; `null` if it isn't one of several that are short.
   */
  decode(source: Source, start: number, end: number, limit: number): string | null {
    if (source !== this.#source || end > this.#to) {
      if (!this.#begin(source, start, end, Math.min(limit, start + LONGEST))) return null;
    }
    const from = this.#from, text = this.#text.substring(start - from, end - from);
    if (end === this.#to) this.#drop();
    return text;
  }

  #begin(source: Source, start: number, end: number, limit: number): boolean {
    this.#drop();
    if (end - start > SHORT || !isAscii(source.view, start, end)) return false;
    const to = this.#unmask(source.view, end, limit);
    if (to === end) return false;
    this.#source = source;
    this.#text = decodeAscii(source.bytes, start, to);
    this.#from = start;
    this.#to = to;
    return true;
  }

  /** Unmasks the texts from `at` on, and sets their keys to 0: decoding them later changes nothing. Returns their end. */
  #unmask(view: DataView, at: number, limit: number): number {
    const maskBit = this.#maskBit, header = this.#header;
    while (at + header < limit && view.getUint8(at) === (FIN | TEXT)) {
      const length = view.getUint8(at + 1) ^ maskBit, body = at + header, end = body + length;
      if (length > SHORT || end > limit) break;
      if (maskBit !== 0) {
        applyMask(view, body, end, view.getInt32(at + HEADER, true));
        view.setInt32(at + HEADER, 0);
      }
      if (!isAscii(view, body, end)) break;
      at = end;
    }
    return at;
  }

  #drop(): void {
    this.#source = null;
    this.#text = "";
  }
}
