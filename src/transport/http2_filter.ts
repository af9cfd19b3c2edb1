const PREFACE = 24, HEAD = 9, GOAWAY = 7;

/**
 * Removes GOAWAY frames from the bytes that a client sends. The frame only says that the client will open no further
 * streams. `node:http2` destroys the session during the read that contains one, and if other frames follow it in the same
 * read, the process crashes.
 */
export class GoawayFilter {
  readonly #head = new Uint8Array(HEAD);
  /** The number of bytes in `#head`. */
  #known = 0;
  /** Bytes to pass or to drop before the next frame header. */
  #left = PREFACE;
  #dropping = false;

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
        if (!this.#dropping) {
          out?.set(bytes.subarray(at, at + count), filled);
          filled += count;
        }
        this.#left -= count;
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
        out ??= bytes.slice();
      } else {
        out?.set(head, filled);
        filled += HEAD;
      }
    }
    return (out ?? bytes).subarray(0, filled);
  }
}
