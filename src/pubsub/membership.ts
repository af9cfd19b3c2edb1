import type { Engine } from "../engine/engine.ts";

/** One connection in one topic. */
export class Membership {
  /** `null` once it has ended. */
  engine: Engine | null;
  previous: Membership | null = null;
  next: Membership | null = null;
  readonly topic: Topic;

  constructor(engine: Engine, topic: Topic) {
    this.engine = engine;
    this.topic = topic;
  }
}

/**
 * The members of a topic, a linked list in the order in which they subscribed. A `Set` makes a new table every few changes,
 * and a dropped table in the old generation keeps its connections alive until the next major collection. A list has no
 * table, and a member that is removed refers to nothing.
 */
export class Topic {
  /** The number of members. */
  size = 0;
  /** The first member. */
  first: Membership | null = null;
  #last: Membership | null = null;
  /** The number of walks in progress. A member that is removed during a walk stays in the list until the last one ends. */
  #walks = 0;
  #gaps = false;

  /** Adds a connection that isn't a member. */
  add(engine: Engine): Membership {
    const member = new Membership(engine, this);
    member.previous = this.#last;
    if (this.#last === null) this.first = member;
    else this.#last.next = member;
    this.#last = member;
    this.size++;
    return member;
  }

  /** Ends a membership that hasn't ended. */
  remove(member: Membership): void {
    member.engine = null;
    this.size--;
    if (this.#walks > 0) this.#gaps = true;
    else this.#unlink(member);
  }

  /**
   * Begins a walk from `first` along `next`. The caller has to skip members that were removed, and to call `end` in any
   * case, even after an error.
   *
   * @returns The last member of the walk: members that are added later come after it.
   */
  begin(): Membership | null {
    this.#walks++;
    return this.#last;
  }

  /** Ends a walk. */
  end(): void {
    if (--this.#walks === 0 && this.#gaps) this.#close();
  }

  /**
   * Iterates over the present members, without those that are removed during the loop. It may be left at any time.
   */
  *members(): Generator<Engine, undefined> {
    const members: Membership[] = [];
    for (let member = this.first; member !== null; member = member.next) members.push(member);
    for (const { engine } of members) if (engine !== null) yield engine;
  }

  #close(): void {
    this.#gaps = false;
    for (let member = this.first; member !== null;) {
      const { next } = member;
      if (member.engine === null) this.#unlink(member);
      member = next;
    }
  }

  #unlink(member: Membership): void {
    const { previous, next } = member;
    if (previous === null) this.first = next;
    else previous.next = next;
    if (next === null) this.#last = previous;
    else next.previous = previous;
    member.previous = member.next = null;
  }
}
