import { nextTick } from "node:process";

/** Something that goes on after a microtask checkpoint. */
export interface CheckpointWaiter {
  /** Everything that waited for a microtask has run. */
  checkpointPassed(): void;
}

let waiting: CheckpointWaiter[] = [];
let passing: CheckpointWaiter[] = [];

/** Calls `checkpointPassed` when everything that waits for a microtask has run. All that wait share one checkpoint. */
export function afterCheckpoint(waiter: CheckpointWaiter): void {
  if (waiting.push(waiter) === 1) queueMicrotask(awaitTick);
}

/** A tick that is asked for in a microtask comes when no microtask is left; one that a task or a tick asks for doesn't. */
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
 * What a callback returns to be called again after a microtask checkpoint only. Between two events of a browser lies such a
 * one, so that `await once(…)` in a loop misses no event. It is a thenable, which the engine knows, and needs no promise for.
 */
export const CHECKPOINT: PromiseLike<void> = {
  then: (settled?: ((value: void) => unknown) | null) => {
    afterCheckpoint({ checkpointPassed: () => settled?.() });
    return CHECKPOINT as PromiseLike<never>;
  },
};
