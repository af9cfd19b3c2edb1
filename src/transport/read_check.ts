// The number of successive empty reads after which a stream fails. An endless loop of them would block the event loop.
const MOST_EMPTY = 100;

/** Checks what the reads of one stream say, since it may be a stream of the application's. */
export class ReadCheck {
  #empty = 0; // successive reads that returned nothing

  /**
   * What a read says, if it makes sense.
   *
   * @param count What the read gave.
   * @param asked The bytes that there was room for.
   * @throws {TypeError} If it makes none.
   */
  check(count: unknown, asked: number): number | null {
    if (count === null) return null;
    if (typeof count !== "number" || count >>> 0 !== count || count > asked) {
      const given = typeof count === "number" ? count : `a value of type ${typeof count}`;
      throw new TypeError(
        `Cannot read from the stream: a read of ${asked} bytes returned ${given}`,
      );
    }
    this.#empty = count === 0 ? this.#empty + 1 : 0;
    if (this.#empty > MOST_EMPTY) {
      throw new TypeError(`Cannot read from the stream: ${MOST_EMPTY} reads returned nothing`);
    }
    return count;
  }
}
