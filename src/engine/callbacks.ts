import type { Connection } from "../connection.ts";
import type { ConnectionHandlers } from "./options.ts";

/** Who has callbacks, and what they are called with. */
export interface CallbackOwner {
  readonly conn: Connection;
  readonly handlers: ConnectionHandlers;
}

/** Runs a callback; returns a promise of its end where it is asynchronous. Its failures are reported. */
export function call(owner: CallbackOwner, callback: () => unknown): Promise<void> | null {
  try {
    const result = callback();
    if (isThenable(result)) {
      return Promise.resolve(result).then(() => {}, (error) => report(owner, error));
    }
  } catch (error) {
    report(owner, error);
  }
  return null;
}

/** Reports an error to `onError`, or to the console where there is none. */
export function report(owner: CallbackOwner, error: unknown): void {
  if (owner.handlers.onError === undefined) {
    console.error("A callback of a WebSocket connection failed:", error);
    return;
  }
  try {
    const result = owner.handlers.onError(owner.conn, error);
    if (isThenable(result)) {
      result.then(undefined, (error) => console.error("An onError callback failed:", error));
    }
  } catch (error) {
    console.error("An onError callback failed:", error);
  }
}

/** Whether a callback has returned a promise, or what passes for one. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null &&
    typeof (value as PromiseLike<unknown>).then === "function";
}
