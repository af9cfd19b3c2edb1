import { Fifo } from "../util/fifo.ts";

interface Waiter {
  /** The number of messages that the kernel must have taken since the start. */
  readonly target: number;
  /** Whether it was aborted. */
  over: boolean;
  resolve(): void;
  reject(error: unknown): void;
}

// Aborted waits are removed when there are this many, and they are half of all: with a peer that takes nothing, the list
// must not grow without bound.
const COMPACT = 64;

/** Calls of `flushed`, which wait until the kernel has taken everything that was sent before them. */
export class FlushWaiters {
  readonly #waiters = new Fifo<Waiter>();
  #over = 0; // the number of aborted ones among them

  /** The number of waits that are kept, aborted ones included. */
  get size(): number {
    return this.#waiters.length;
  }

  /**
   * Resolves when this number of messages has been taken.
   *
   * @param signal Gives up when aborted.
   * @param aborted Makes the error of an abort.
   */
  wait(
    target: number,
    signal: AbortSignal | undefined,
    aborted: () => unknown,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { target, over: false, resolve, reject };
      this.#waiters.push(waiter);
      if (signal === undefined) return;
      const abort = () => {
        waiter.over = true;
        reject(aborted());
        if (++this.#over >= COMPACT && 2 * this.#over >= this.#waiters.length) this.#compact();
      };
      const settled = () => signal.removeEventListener("abort", abort);
      waiter.resolve = () => (settled(), resolve());
      waiter.reject = (error) => (settled(), reject(error));
      signal.addEventListener("abort", abort, { once: true });
    });
  }

  /** Resolves waits: `count` messages have been taken by now, or all that were sent if it is `Infinity`. */
  reached(count: number): void {
    for (
      let waiter = this.#waiters.peek();
      waiter !== undefined && (waiter.over || waiter.target <= count);
      waiter = this.#waiters.peek()
    ) {
      this.#waiters.shift();
      if (waiter.over) this.#over--;
      else waiter.resolve();
    }
  }

  #compact(): void {
    this.#over = 0;
    for (const waiter of this.#waiters.drain()) if (!waiter.over) this.#waiters.push(waiter);
  }

  /** Rejects all waits: nothing is written any more. */
  fail(makeError: () => unknown): void {
    this.#over = 0;
    for (const waiter of this.#waiters.drain()) {
      if (!waiter.over) waiter.reject(makeError());
    }
  }
}
