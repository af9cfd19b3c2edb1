import { setImmediate } from "node:timers";

// Empty pieces in a row after which the event loop gets a turn.
const MOST_EMPTY = 100;

/**
 * Calls code that isn't ours: a callback, a predicate, a source. It may throw, reject, or return a hostile thenable.
 *
 * @param callback The function to call.
 * @param failed Gets the error; must not throw.
 * @returns A promise that never rejects, if the call continues asynchronously; else `null`.
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
 * Follows the result of a call if it is a promise or another thenable.
 *
 * @returns A promise that never rejects, or `null` for any other value.
 * @throws The error of a hostile `then` getter, so call this inside the `try` of the call itself.
 */
export function whenSettled(
  result: unknown,
  failed: (error: unknown) => void,
): Promise<void> | null {
  if (!isThenable(result)) return null;
  // A native promise of our own calls the foreign `then` once, in a microtask, and catches what it throws.
  return Promise.resolve(result).then(() => {}, failed);
}

/** Whether a value is a promise or another thenable. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (typeof value === "object" || typeof value === "function") && value !== null &&
    typeof (value as PromiseLike<unknown>).then === "function";
}

/**
 * Marks a promise as handled: if nothing awaits it, a rejection doesn't end the process. A caller that awaits it still
 * gets the error.
 */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/**
 * Watches the pieces of a source that isn't ours. An endless run of empty pieces without a pause would stop the event
 * loop, and so any timer or signal that could end it.
 */
export class EmptyPieces {
  #count = 0;

  /** Notes a piece; returns a promise to await before the next one, or `null`. */
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
