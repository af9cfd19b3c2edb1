import { Fifo } from "../util/fifo.ts";

interface Waiter {
  /** How many messages the kernel must have taken in all. */
  readonly target: number;
  /** Whether it was settled otherwise. */
  over: boolean;
  resolve(): void;
  reject(error: unknown): void;
}

/** Callers that wait until the kernel has taken what was sent so far. Made for the first of them. */
export class FlushWaiters {
  readonly #waiters = new Fifo<Waiter>();

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
      if (!waiter.over) waiter.resolve();
    }
  }

  /** What was sent will not be taken any more. */
  fail(makeError: () => unknown): void {
    for (const waiter of this.#waiters.drain()) {
      if (!waiter.over) waiter.reject(makeError());
    }
  }
}
