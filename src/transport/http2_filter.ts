const PREFACE = 24, HEAD = 9, GOAWAY = 7;
/** The length of the fixed part of a GOAWAY: the last stream and the error code. */
const FIXED = 8;

/** Gets the last stream that the peer processes, and the error code of its GOAWAY (RFC 9113 6.8). */
export type OnGoaway = (lastStream: number, code: number) => void;

/**
 * Removes GOAWAY frames from the bytes that the peer sends. `node:http2` destroys the session during the read that contains
 * one, if the frame has an error code or no stream is open. nghttp2 then reads the rest of the bytes with freed memory: if
 * other frames follow in the same read, the process crashes ("double free or corruption").
 */
export class GoawayFilter {
  readonly #onGoaway: OnGoaway;
  readonly #head = new Uint8Array(HEAD);
  readonly #fixed = new DataView(new ArrayBuffer(FIXED));
  /** The number of bytes in `#head`. */
  #known = 0;
  /** Bytes to pass or to drop before the next frame header. */
  #left: number;
  #dropping = false;
  /** The number of bytes of a GOAWAY that were dropped. */
  #dropped = 0;

  /**
   * @param role The local role: a client sends a preface first.
   * @param onGoaway Called before the bytes after the frame are passed.
   */
  constructor(role: "client" | "server", onGoaway: OnGoaway) {
    this.#left = role === "server" ? PREFACE : 0;
    this.#onGoaway = onGoaway;
  }

  /**
   * Filters what was read.
   *
   * @returns The remaining bytes: the same array, or a copy.
   */
  pass(bytes: Uint8Array): Uint8Array {
    const before = this.#known;
    // A copy is made only if a frame header began in an earlier read, or if bytes are dropped.
    let out = before > 0 || this.#dropping ? new Uint8Array(before + bytes.length) : null;
    let filled = 0;
    for (let at = 0; at < bytes.length;) {
      if (this.#left > 0) {
        const count = Math.min(this.#left, bytes.length - at);
        this.#left -= count;
        if (this.#dropping) {
          this.#drop(bytes.subarray(at, at + count));
        } else {
          out?.set(bytes.subarray(at, at + count), filled);
          filled += count;
        }
        at += count;
        continue;
      }
      const head = this.#head;
      head[this.#known++] = bytes[at++];
      if (this.#known < HEAD) continue;
      this.#known = 0;
      this.#left = (head[0] << 16) | (head[1] << 8) | head[2];
      this.#dropping = head[3] === GOAWAY;
      if (this.#dropping) {
        this.#dropped = 0;
        out ??= bytes.slice();
      } else {
        out?.set(head, filled);
        filled += HEAD;
      }
    }
    return (out ?? bytes).subarray(0, filled);
  }

  #drop(part: Uint8Array): void {
    for (let at = 0; at < part.length && this.#dropped + at < FIXED; at++) {
      this.#fixed.setUint8(this.#dropped + at, part[at]);
    }
    this.#dropped += part.length;
    if (this.#left > 0 || this.#dropped < FIXED) return;
    this.#onGoaway(this.#fixed.getUint32(0) & 0x7fffffff, this.#fixed.getUint32(4));
  }
}
