import type { Message } from "../errors.ts";
import { encodeUtf8, isUtf8, Utf8Validator } from "../protocol/utf8.ts";
import { concat, toBytes } from "../util/bytes.ts";

/**
 * Turns the pieces of one message into the payloads of its frames. A surrogate pair or a UTF-8 sequence may be split
 * between two pieces; a text message must be UTF-8 as a whole.
 */
export class PieceEncoder {
  /** Whether the message is binary. */
  readonly binary: boolean;
  readonly #unit: string;
  readonly #checked: boolean;
  #utf8: Utf8Validator;
  #carry = ""; // a high surrogate whose other half comes with the next piece
  #nextUtf8: Utf8Validator;
  #nextCarry = "";

  /**
   * @param unit The word for a piece in error messages.
   * @param opaque Whether an extension of the application has transformed the text, so that it isn't checked.
   */
  constructor(unit: string, binary: boolean, opaque: boolean) {
    this.#unit = unit;
    this.binary = binary;
    this.#checked = !binary && !opaque;
    this.#utf8 = this.#nextUtf8 = new Utf8Validator();
  }

  /**
   * Encodes a piece. If the caller then can't send it, the message is unchanged: only `advance` changes it.
   *
   * @param final Whether the message ends with the piece.
   * @param carries Whether a high surrogate at the end of the piece waits for the next one.
   * @throws {TypeError} If a text message isn't UTF-8, or the piece is neither text nor bytes.
   */
  encode(piece: Message, final: boolean, carries: boolean): Uint8Array {
    let bytes: Uint8Array;
    this.#nextCarry = "";
    if (typeof piece === "string") {
      let text = this.#carry + piece;
      if (carries && !this.binary && isHighSurrogate(text.charCodeAt(text.length - 1))) {
        this.#nextCarry = text.slice(-1);
        text = text.slice(0, -1);
      }
      bytes = encodeUtf8(text);
    } else {
      bytes = toBytes(piece);
      if (this.#carry !== "") bytes = concat([encodeUtf8(this.#carry), bytes]);
    }
    if (this.#checked) {
      const utf8 = this.#utf8.copy();
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      if (!utf8.push(view, 0, bytes.length) || (final && !utf8.complete)) {
        throw new TypeError(`Cannot send ${this.#unit} of a text message that is not UTF-8`);
      }
      this.#nextUtf8 = utf8;
    }
    return bytes;
  }

  /** Makes the piece that was encoded last part of the message. */
  advance(): void {
    this.#carry = this.#nextCarry;
    this.#utf8 = this.#nextUtf8;
  }
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}

/** Checks that bytes to be sent as text are UTF-8. */
export function checkText(data: Message): Message {
  if (typeof data !== "string" && !isUtf8(toBytes(data))) {
    throw new TypeError("Cannot send bytes that are not UTF-8 as text");
  }
  return data;
}
