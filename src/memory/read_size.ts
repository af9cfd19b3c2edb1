import { LARGEST, SIZES } from "./buffer_pool.ts";

// Small reads in a row before a smaller buffer is used. With alternating sizes, the buffer must not change every time.
const SMALL_READS_BEFORE_SHRINK = 4;

/** The size of the buffer for the next read, which a silent connection costs: it follows what the peer sends. */
export class ReadSize {
  /** Index of the size in {@linkcode SIZES}. */
  index = 0;
  #small = 0; // small reads in a row

  /** Takes the count of a read that had a whole buffer of this size. */
  follow(count: number): void {
    if (count === SIZES[this.index]) {
      if (this.index < LARGEST) this.index++;
      this.#small = 0;
    } else if (this.index > 0 && count <= SIZES[this.index - 1]) {
      if (++this.#small === SMALL_READS_BEFORE_SHRINK) {
        this.index--;
        this.#small = 0;
      }
    } else {
      this.#small = 0;
    }
  }
}
