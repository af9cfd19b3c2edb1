import { nextTick } from "node:process";

/**
 * Settles when all pending microtasks have run. Browsers perform such a microtask checkpoint between two events, so that
 * `await once(…)` in a loop misses no event.
 */
export const CHECKPOINT: PromiseLike<void> = {
  then: (settled?: ((value: void) => unknown) | null) => {
    nextTick(() => settled?.());
    return CHECKPOINT as PromiseLike<never>;
  },
};
