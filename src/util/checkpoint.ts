import { nextTick } from "node:process";

/** Is notified of a microtask checkpoint. */
export interface CheckpointWaiter {
  /** Called when all pending microtasks have run. */
  checkpointPassed(): void;
}

let waiting: CheckpointWaiter[] = [];
let passing: CheckpointWaiter[] = [];

/** Calls `checkpointPassed` when all pending microtasks have run. All waiters share one checkpoint. */
export function afterCheckpoint(waiter: CheckpointWaiter): void {
  if (waiting.push(waiter) === 1) queueMicrotask(awaitTick);
}

/** A tick that a microtask requests runs when no microtask is left. One that a task or a tick requests may run earlier. */
function awaitTick(): void {
  if (passing.length === 0) {
    const empty = passing;
    passing = waiting;
    waiting = empty;
    nextTick(pass);
  } else {
    for (const waiter of waiting) passing.push(waiter);
    waiting.length = 0;
  }
}

function pass(): void {
  let at = 0;
  try {
    while (at < passing.length) passing[at++].checkpointPassed();
  } finally {
    // One that throws must not take the others with it.
    while (at < passing.length) afterCheckpoint(passing[at++]);
    passing.length = 0;
  }
}

/**
 * A callback returns this to be called again after a microtask checkpoint only. Browsers perform one between two events, so
 * that `await once(…)` in a loop misses no event. It is a thenable; the engine recognizes it, and needs no promise for it.
 */
export const CHECKPOINT: PromiseLike<void> = {
  then: (settled?: ((value: void) => unknown) | null) => {
    afterCheckpoint({ checkpointPassed: () => settled?.() });
    return CHECKPOINT as PromiseLike<never>;
  },
};
