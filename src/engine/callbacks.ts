import { callForeign } from "../util/foreign.ts";
import type { Face, Handlers } from "./handlers.ts";

/** An object with callbacks, and the public object that they are called with. */
export interface CallbackOwner {
  readonly face: Face;
  readonly handlers: Handlers;
}

/** Runs a callback and reports its failure. Returns a promise of its end if it is asynchronous, else `null`. */
export function call(owner: CallbackOwner, callback: () => unknown): Promise<void> | null {
  return callForeign(callback, (error) => report(owner, error));
}

/** Reports an error to `onError`, or to the console if there is none. */
export function report(owner: CallbackOwner, error: unknown): void {
  if (owner.handlers.onError === undefined) {
    console.error("A callback of a WebSocket connection failed:", error);
    return;
  }
  callForeign(() => owner.handlers.onError!(owner.face, error), onErrorFailed);
}

function onErrorFailed(error: unknown): void {
  console.error("An onError callback failed:", error);
}
