/** What of a poller one that is watched needs. */
export interface Turns {
  /** The number of the turn that is going on. */
  readonly turn: number;
}

/** What has a descriptor that a poller watches. */
export abstract class Watched {
  abstract readonly fd: number;
  /** Whether it stands in the poller's queue, which alone sets it. */
  queued = false;
  #turn = 0;
  #taken = 0;

  /** Notes what has come to be since the last call: bits of EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLERR, EPOLLHUP. */
  abstract note(events: number): void;

  /** Goes on with what can go on; called by the poller, once in a turn of the event loop. */
  abstract goOn(): void;

  /**
   * Whether something may be done at once although nothing had to be waited for: a promise that settles at once leaves
   * nobody else a turn, and a peer that always has more could go on for ever.
   *
   * @param most How often in one turn.
   */
  protected hasTurn(turns: Turns, most: number): boolean {
    if (this.#turn !== turns.turn) {
      this.#turn = turns.turn;
      this.#taken = 0;
    }
    return ++this.#taken <= most;
  }
}
