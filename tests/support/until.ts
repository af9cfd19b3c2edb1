const PATIENCE = 30_000;

/** Waits, turn by turn of the event loop, until something is so. */
export async function until(check: () => boolean, what: string = String(check)): Promise<void> {
  const start = performance.now();
  while (!check()) {
    if (performance.now() - start > PATIENCE) throw new Error(`Never came true: ${what}`);
    await turn();
  }
}

/** One turn of the event loop: what is due by now has happened. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
