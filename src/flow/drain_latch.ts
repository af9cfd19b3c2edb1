/**
 * Tells once for each time that the queue rose above the low-water mark that it is at the mark or below again: armed on
 * the way up, disarmed before anyone is told.
 */
export class DrainLatch {
  /** How often the queue has drained. */
  count = 0;
  /** Whether the queue has risen above the mark since. */
  armed = false;
  #waiters: { resolve(): void; reject(error: unknown): void }[] | null = null;

  /** Promises the next time. */
  wait(): Promise<void> {
    return new Promise((resolve, reject) => (this.#waiters ??= []).push({ resolve, reject }));
  }

  /** The queue has drained: those who await it come before `callback`. */
  release(callback: () => void): void {
    this.armed = false;
    this.count++;
    const waiters = this.#waiters;
    this.#waiters = null;
    if (waiters === null) {
      callback();
    } else {
      for (const { resolve } of waiters) resolve();
      queueMicrotask(callback);
    }
  }

  /** It will not drain any more. */
  fail(makeError: () => unknown): void {
    for (const { reject } of this.#waiters?.splice(0) ?? []) reject(makeError());
  }
}
