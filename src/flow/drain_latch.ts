import { abortError } from "../errors.ts";

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * Fires once each time the queue falls to the low-water mark after having risen above it: armed on the way up, disarmed
 * before listeners run.
 */
export class DrainLatch {
  /** The number of times that the queue has drained. */
  count = 0;
  /** Whether the queue has risen above the mark since it last drained. */
  armed = false;
  #waiters: Set<Waiter> | null = null;

  /** Resolves when the queue drains next; rejects if `signal` is aborted. */
  wait(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiters = this.#waiters ??= new Set();
      if (signal === undefined) {
        waiters.add({ resolve, reject });
        return;
      }
      const settled = (settle: () => void) => {
        signal.removeEventListener("abort", abort);
        settle();
      };
      const waiter = {
        resolve: () => settled(resolve),
        reject: (error: unknown) => settled(() => reject(error)),
      };
      const abort = () => {
        waiters.delete(waiter);
        waiter.reject(drainAborted(signal));
      };
      signal.addEventListener("abort", abort);
      waiters.add(waiter);
    });
  }

  /**
   * The queue has drained: promises resolve before `callback` is called. If code that awaited one of them has raised the
   * queue above the mark again, the callback is called at the next drain instead.
   */
  release(callback: () => void): void {
    this.armed = false;
    this.count++;
    const waiters = this.#take();
    if (waiters === null) {
      callback();
    } else {
      for (const { resolve } of waiters) resolve();
      queueMicrotask(() => {
        if (!this.armed) callback();
      });
    }
  }

  /** The queue will not drain any more: it was dropped, or the connection has ended. */
  fail(makeError: () => unknown): void {
    this.armed = false;
    for (const { reject } of this.#take() ?? []) reject(makeError());
  }

  #take(): Set<Waiter> | null {
    const waiters = this.#waiters;
    this.#waiters = null;
    return waiters === null || waiters.size === 0 ? null : waiters;
  }
}

/** The error of a wait that was aborted. */
export function drainAborted(signal: AbortSignal): DOMException {
  return abortError("The wait for the queue to drain was aborted", signal.reason);
}
