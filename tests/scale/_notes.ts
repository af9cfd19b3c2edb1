/** Values that callbacks report, in order; a test can wait for them. */
export class Notes<T> {
  readonly all: T[] = [];
  #waiters: (() => void)[] = [];

  add(note: T): void {
    this.all.push(note);
    for (const resolve of this.#waiters.splice(0)) resolve();
  }

  /** Resolves when there are `count` values. */
  async count(count: number): Promise<T[]> {
    while (this.all.length < count) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
    return this.all;
  }

  /** Resolves with the first value that matches. */
  async find(fits: (note: T) => boolean): Promise<T> {
    for (let at = 0;; at++) {
      await this.count(at + 1);
      if (fits(this.all[at])) return this.all[at];
    }
  }
}
