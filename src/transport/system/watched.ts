/** What a watched object needs from its poller. */
export interface Turns {
  /** The number of the current turn. */
  readonly turn: number;
}

/** An object with a descriptor that a poller watches. */
export abstract class Watched {
  abstract readonly fd: number;
  /** Whether the object is in the poller's queue. Only the poller sets it. */
  queued = false;
  #turn = 0;
  #taken = 0;

  /** Notes the events since the last call: bits of EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLERR, EPOLLHUP. */
  abstract note(events: number): void;

  /** Resumes what can be resumed. The poller calls it, at most once in a turn of the event loop. */
  abstract goOn(): void;

  /**
   * Whether an operation may be done at once. If every promise settled at once, a peer that always has more data could
   * keep the event loop busy for ever.
   *
   * @param most The most operations in one turn.
   */
  protected hasTurn(turns: Turns, most: number): boolean {
    if (this.#turn !== turns.turn) {
      this.#turn = turns.turn;
      this.#taken = 0;
    }
    return ++this.#taken <= most;
  }
}
