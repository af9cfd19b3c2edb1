import { Fifo } from "../util/fifo.ts";

interface Waiter {
  /** How many messages the kernel must have taken in all. */
  readonly target: number;
  /** Whether it was settled otherwise. */
  over: boolean;
  resolve(): void;
  reject(error: unknown): void;
}

// Waits that were given up are let go of when they are so many, and half of all: a peer that takes nothing must not make a
// list of them grow.
const COMPACT = 64;

/** Callers that wait until the kernel has taken what was sent so far. Made for the first of them. */
export class FlushWaiters {
  readonly #waiters = new Fifo<Waiter>();
  #over = 0; // how many of them were given up

  /** How many are kept. */
  get size(): number {
    return this.#waiters.length;
  }

  /**
   * Promises that this number of messages has been taken.
   *
   * @param signal Gives up when aborted.
   * @param aborted Makes the error of that.
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

  /** The number of messages that have been taken by now; `Infinity` if that is all that was sent. */
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

  /** What was sent will not be taken any more. */
  fail(makeError: () => unknown): void {
    this.#over = 0;
    for (const waiter of this.#waiters.drain()) {
      if (!waiter.over) waiter.reject(makeError());
    }
  }
}
