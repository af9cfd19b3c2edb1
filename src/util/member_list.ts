/** Something that is in one list at a time. */
export interface Member {
  /** Its place there; -1 while in none. */
  slot: number;
}

/**
 * The members, in the order in which they were added. A `Set` makes a new table every few changes, and a table that has grown old
 * keeps its members until the next full collection; where connections come and go, that is all of them.
 */
export class MemberList<T extends Member> {
  /** How many are there. */
  size = 0;
  // Leavers leave a gap behind. The array itself never shrinks, for then it would be made again.
  readonly #places: (T | null)[] = [];
  #from = 0;
  #end = 0;

  /** Adds one that is in no list. */
  add(member: T): void {
    const places = this.#places;
    if (this.#end === places.length && this.size <= this.#end / 2) this.#close();
    if (this.#end === places.length) places.push(member);
    else places[this.#end] = member;
    member.slot = this.#end++;
    this.size++;
  }

  /**
   * Takes one out.
   *
   * @returns Whether it was there.
   */
  delete(member: T): boolean {
    const at = member.slot;
    if (at < 0 || this.#places[at] !== member) return false;
    this.#places[at] = null;
    member.slot = -1;
    this.size--;
    while (this.#from < this.#end && this.#places[this.#from] === null) this.#from++;
    return true;
  }

  /** The first one that is wanted. */
  find(wanted: (member: T) => boolean): T | undefined {
    for (let at = this.#from; at < this.#end; at++) {
      const member = this.#places[at];
      if (member !== null && wanted(member)) return member;
    }
  }

  /** Those that are there now, without those that leave in the meantime. */
  *[Symbol.iterator](): Generator<T> {
    const all = this.#places.slice(this.#from, this.#end);
    for (const member of all) {
      if (member !== null && this.#places[member.slot] === member) yield member;
    }
  }

  /** Closes the gaps. */
  #close(): void {
    const places = this.#places;
    let to = 0;
    for (let from = this.#from; from < this.#end; from++) {
      const member = places[from];
      if (member === null) continue;
      places[from] = null;
      places[to] = member;
      member.slot = to++;
    }
    this.#from = 0;
    this.#end = to;
  }
}
