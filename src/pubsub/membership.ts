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
 * The members of a topic, in the order of coming. A `Set` makes a new table every few changes, and a table that has grown
 * old keeps the connections that it lists until the next full collection. A list has no table, and a member that leaves
 * it lets go of everything.
 */
export class Topic {
  /** How many there are. */
  size = 0;
  /** Where a walk begins. */
  first: Membership | null = null;
  #last: Membership | null = null;
  /** How many walks are under way: those that leave during one stay in their places until the last of them is over. */
  #walks = 0;
  #gaps = false;

  /** Adds a connection that is none of them. */
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
   * Begins a walk from `first` along `next`, which has to pass over those that have left, and call `end`, whatever happens
   * on its way.
   *
   * @returns The last one to be visited: those that join after this call come after it.
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
   * The members there are now, without those that leave during the walk. An iteration that stops in the middle leaves
   * nothing behind.
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
