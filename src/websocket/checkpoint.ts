import { nextTick } from "node:process";

/**
 * Settles when everything that waits for a microtask has run. Between two events of a browser lies such a checkpoint,
 * so that `await once(…)` in a loop misses no event.
 */
export const CHECKPOINT: PromiseLike<void> = {
  then: (settled?: ((value: void) => unknown) | null) => {
    nextTick(() => settled?.());
    return CHECKPOINT as PromiseLike<never>;
  },
};
