/** What a promise rejects with, which it is expected to do. */
// deno-lint-ignore no-explicit-any
export async function failure(promise: Promise<unknown>): Promise<any> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It was expected to fail");
}

const GONE = [
  Deno.errors.BrokenPipe,
  Deno.errors.ConnectionReset,
  Deno.errors.ConnectionAborted,
  // We have closed it ourselves.
  Deno.errors.BadResource,
  Deno.errors.Interrupted,
];

/** Waits for a write that fails, if it does, since the other side has gone; any other failure is one. */
export async function unlessGone(writing: Promise<unknown>): Promise<void> {
  try {
    await writing;
  } catch (error) {
    if (!GONE.some((Kind) => error instanceof Kind)) throw error;
  }
}

/**
 * Lets a promise fail that isn't what a test is about.
 *
 * @param promise The promise.
 * @param _reason Why it may fail, for the reader.
 * @returns What it resolves with, or `undefined`.
 */
export async function mayFail<T>(promise: Promise<T>, _reason: string): Promise<T | undefined> {
  try {
    return await promise;
  } catch {
    return undefined;
  }
}

/** Reads to the end of a stream, however it ends; returns how many bytes came. */
export async function readToEnd(
  stream: { read(into: Uint8Array): Promise<number | null> },
): Promise<number> {
  const buffer = new Uint8Array(64 * 1024);
  let total = 0;
  for (;;) {
    const count = await mayFail(stream.read(buffer), "a reset is an end, too") ?? null;
    if (count === null) return total;
    total += count;
  }
}
