/** How long a test waits for what has to happen, in ms. */
export const PATIENCE = 30_000;
// How many turns of the event loop nothing may happen in for something to stand still.
const STILL = 100;
// Not those of a virtual clock, which stands still itself.
const { setTimeout } = globalThis;

/** Waits, turn by turn of the event loop, until something is so. */
export async function until(check: () => boolean, what: string = String(check)): Promise<void> {
  const start = Date.now();
  while (!check()) {
    if (Date.now() - start > PATIENCE) throw new Error(`Never came true: ${what}`);
    await turn();
  }
}

/**
 * Waits until a number stands still: for what must not go on. However slow the machine is, it is turns that are counted,
 * each of which lets every socket have its share.
 *
 * @returns The number.
 */
export async function standstill(value: () => number): Promise<number> {
  let last = value();
  for (let still = 0; still < STILL; still++) {
    await turn();
    if (value() === last) continue;
    last = value();
    still = 0;
  }
  return last;
}

/** One turn of the event loop: what is due by now has happened. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
