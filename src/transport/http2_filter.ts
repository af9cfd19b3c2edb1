const PREFACE = 24, HEAD = 9, GOAWAY = 7;

/**
 * Takes GOAWAY out of what a client sends. It only says that the client will open no further streams, and `node:http2`
 * ends the session amid the read that brings one, which ends the whole process where other frames come with it.
 */
export class GoawayFilter {
  readonly #head = new Uint8Array(HEAD);
  /** How much of a frame's head is there. */
  #known = 0;
  /** What is left to pass, or to drop, before the next head. */
  #left = PREFACE;
  #dropping = false;

  /**
   * Filters what was read.
   *
   * @returns What is left of it: the same bytes, or others.
   */
  pass(bytes: Uint8Array): Uint8Array {
    const before = this.#known;
    // Mostly the bytes are handed on as they are. Where the head began in another read, or some are dropped, there is a copy.
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
