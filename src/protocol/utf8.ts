import { isUtf8 as isValid } from "node:buffer";

const ENCODER = new TextEncoder();
// Up to here a loop costs less than a call of the platform's check.
const SHORT = 64;

/** Encodes a string as UTF-8; a lone surrogate becomes U+FFFD. */
export function encodeUtf8(text: string): Uint8Array<ArrayBuffer> {
  return ENCODER.encode(text);
}

/**
 * Strict, incremental UTF-8 validation (RFC 3629, and RFC 6455 8.1): no overlong forms, no surrogates, nothing above
 * U+10FFFF. It fails at the first byte that can't be part of valid text there, even inside an unfinished sequence, so a
 * bad message is refused before its end.
 */
export class Utf8Validator {
  // The number of continuation bytes that the open sequence still needs, and the range of the next one: only the second
  // byte of a sequence may be restricted to less than 80..BF (Unicode 3.9, table 3-7).
  #need = 0;
  #low = 0x80;
  #high = 0xbf;

  /** Whether the text may end here. */
  get complete(): boolean {
    return this.#need === 0;
  }

  reset(): void {
    this.#need = 0;
    this.#low = 0x80;
    this.#high = 0xbf;
  }

  /** Makes a validator in the same state. */
  copy(): Utf8Validator {
    const copy = new Utf8Validator();
    copy.#need = this.#need;
    copy.#low = this.#low;
    copy.#high = this.#high;
    return copy;
  }

  /** Checks the next bytes of the text; returns `false` as soon as the text can't be UTF-8 any more. */
  push(bytes: DataView, start: number, end: number): boolean {
    let need = this.#need, low = this.#low, high = this.#high;
    let i = start;
    while (i < end) {
      if (need === 0) {
        while (i + 8 <= end && ((bytes.getInt32(i) | bytes.getInt32(i + 4)) & 0x80808080) === 0) {
          i += 8;
        }
        if (i === end) break;
        const byte = bytes.getUint8(i++);
        if (byte < 0x80) continue;
        if (byte < 0xc2 || byte > 0xf4) return false;
        if (byte < 0xe0) {
          need = 1;
        } else if (byte < 0xf0) {
          need = 2;
          if (byte === 0xe0) low = 0xa0;
          else if (byte === 0xed) high = 0x9f;
        } else {
          need = 3;
          if (byte === 0xf0) low = 0x90;
          else if (byte === 0xf4) high = 0x8f;
        }
      } else {
        const byte = bytes.getUint8(i++);
        if (byte < low || byte > high) return false;
        low = 0x80;
        high = 0xbf;
        need--;
      }
    }
    this.#need = need;
    this.#low = low;
    this.#high = high;
    return true;
  }
}

/** Whether bytes are complete, valid UTF-8. */
export function isUtf8(bytes: Uint8Array): boolean {
  const { length } = bytes;
  if (length <= SHORT) {
    let bits = 0;
    for (let i = 0; i < length; i++) bits |= bytes[i];
    if (bits < 0x80) return true;
  }
  return isValid(bytes);
}
