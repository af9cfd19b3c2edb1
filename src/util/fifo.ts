// The least number of taken slots for which the rest is copied.
const COMPACT = 1024;

/**
 * A queue with operations in constant time on average, however long it is: `Array.shift` moves the whole array once it
 * has some 16,000 entries. Entries that were taken aren't referred to any more.
 */
export class Fifo<T> implements Iterable<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  /** Number of entries. */
  get length(): number {
    return this.#items.length - this.#head;
  }

  /** Adds an entry at the end. */
  push(item: T): void {
    this.#items.push(item);
  }

  /** The oldest entry; `undefined` if there is none. */
  peek(): T | undefined {
    return this.#items[this.#head];
  }

  /** Takes the oldest entry; `undefined` if there is none. */
  shift(): T | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) {
      this.clear();
    } else if (this.#head >= COMPACT && this.#head * 2 >= this.#items.length) {
      // A queue that is never empty must not keep the slots of taken entries for ever.
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Removes one entry from anywhere, in linear time; returns whether it was there. */
  remove(item: T): boolean {
    const at = this.#items.indexOf(item, this.#head);
    if (at < 0) return false;
    this.#items.splice(at, 1);
    return true;
  }

  /** Drops all entries. */
  clear(): void {
    this.#items = [];
    this.#head = 0;
  }

  /** Takes all entries, oldest first. Entries that are pushed during the loop over them stay. */
  drain(): T[] {
    const items = (this.#head === 0 ? this.#items : this.#items.slice(this.#head)) as T[];
    this.clear();
    return items;
  }

  /** The entries, oldest first. */
  *[Symbol.iterator](): Generator<T> {
    for (let at = this.#head; at < this.#items.length; at++) yield this.#items[at] as T;
  }
}
