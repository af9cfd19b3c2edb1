import { nextTick } from "node:process";

/** Something that goes on after a microtask checkpoint. */
export interface CheckpointWaiter {
  /** Everything that waited for a microtask has run. */
  checkpointPassed(): void;
}

let waiting: CheckpointWaiter[] = [];
// Of the two lists one fills while the other is gone through, so that none is made per checkpoint.
let passing: CheckpointWaiter[] = [];

/** Calls `checkpointPassed` when everything that waits for a microtask has run. All that wait share one checkpoint. */
export function afterCheckpoint(waiter: CheckpointWaiter): void {
  if (waiting.push(waiter) === 1) nextTick(reached);
}

/** Ticks follow each other without microtasks between them, so what asks for the next checkpoint must be a microtask. */
function reached(): void {
  queueMicrotask(pass);
}

function pass(): void {
  const waiters = waiting;
  waiting = passing;
  passing = waiters;
  let at = 0;
  try {
    while (at < waiters.length) waiters[at++].checkpointPassed();
  } finally {
    // One that throws must not take the others with it.
    while (at < waiters.length) afterCheckpoint(waiters[at++]);
    waiters.length = 0;
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
