import { setImmediate } from "node:timers";

// Pieces of nothing in a row after which the event loop goes on.
const MOST_EMPTY = 100;

/**
 * Calls code that isn't ours: a callback, a predicate, a source. It may throw, reject, or return a thenable that does.
 *
 * @param callback What to call.
 * @param failed Gets the error; must not throw.
 * @returns A promise that never rejects, if the call goes on asynchronously; else `null`.
 */
export function callForeign(
  callback: () => unknown,
  failed: (error: unknown) => void,
): Promise<void> | null {
  try {
    return whenSettled(callback(), failed);
  } catch (error) {
    failed(error);
    return null;
  }
}

/**
 * What a call has returned, if it is a promise or passes for one.
 *
 * @returns A promise that never rejects, or `null` for any other value.
 * @throws What the getter of a hostile `then` throws; call this inside the `try` of the call itself.
 */
function whenSettled(
  result: unknown,
  failed: (error: unknown) => void,
): Promise<void> | null {
  if (!isThenable(result)) return null;
  // A native promise of our own calls the foreign `then` once, in a microtask, and catches what it throws.
  return Promise.resolve(result).then(() => {}, failed);
}

/** Whether a value is a promise, or what passes for one. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (typeof value === "object" || typeof value === "function") && value !== null &&
    typeof (value as PromiseLike<unknown>).then === "function";
}

/**
 * Marks a promise as handled: if it isn't awaited, a rejection doesn't end the process; a caller that awaits it sees
 * it.
 */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/**
 * Follows what a source that isn't ours gives piece by piece. It may be nothing, again and again, at once: whoever loops
 * over it would stop the event loop, and with it whatever could end the loop.
 */
export class EmptyPieces {
  #count = 0;

  /** Notes a piece; returns what has to be awaited before the next one, if anything has. */
  note(length: number): Promise<void> | null {
    if (length > 0) {
      this.#count = 0;
      return null;
    }
    return ++this.#count % MOST_EMPTY === 0
      ? new Promise((resolve) => setImmediate(resolve))
      : null;
  }
}
