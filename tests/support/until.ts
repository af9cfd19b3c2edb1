import { mayFail } from "./failure.ts";

/** How long a test waits for a condition, in ms. */
export const PATIENCE = 30_000;
// The number of turns of the event loop without a change after which a value counts as constant.
const STILL = 100;
// The real timer, even if a virtual clock is installed.
const { setTimeout } = globalThis;

/** Waits until a condition is true; checks it in each turn of the event loop. */
export async function until(check: () => boolean, what: string = String(check)): Promise<void> {
  const start = Date.now();
  while (!check()) {
    if (Date.now() - start > PATIENCE) throw new Error(`Still not true: ${what}`);
    await turn();
  }
}

/**
 * Waits until a number doesn't change any more, in tests of what must not continue. The wait is counted in turns of the
 * event loop, since every socket is served in each of them, however slow the machine is.
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

/** Waits for a promise, and rejects if that takes longer than 5 s. */
export async function bounded<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: still waiting`)), 5000);
  });
  mayFail(promise, "the time is up already");
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for one turn of the event loop, so that everything that is due has happened. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
