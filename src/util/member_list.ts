/** An object that is in at most one list at a time. */
export interface Member {
  /** Its index in the list; -1 while it is in none. */
  slot: number;
}

/**
 * A list of members in the order in which they were added. A `Set` makes a new table every few changes, and a dropped table
 * in the old generation keeps its members alive until the next major collection. If connections come and go, that would
 * be nearly all of them.
 */
export class MemberList<T extends Member> {
  /** The number of members. */
  size = 0;
  // A member that is deleted leaves a gap. The array never shrinks, so that it needn't be allocated again.
  readonly #places: (T | null)[] = [];
  #from = 0;
  #end = 0;

  /** Adds a member that is in no list. */
  add(member: T): void {
    const places = this.#places;
    if (this.#end === places.length && this.size <= this.#end / 2) this.#close();
    if (this.#end === places.length) places.push(member);
    else places[this.#end] = member;
    member.slot = this.#end++;
    this.size++;
  }

  /**
   * Removes a member.
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

  /** Returns the first member for which `wanted` returns true. */
  find(wanted: (member: T) => boolean): T | undefined {
    for (let at = this.#from; at < this.#end; at++) {
      const member = this.#places[at];
      if (member !== null && wanted(member)) return member;
    }
  }

  /** Iterates over the present members, without those that are deleted during the loop. */
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
