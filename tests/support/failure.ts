/** Returns the error that a promise rejects with; fails if it resolves. */
// deno-lint-ignore no-explicit-any
export async function failure(promise: Promise<unknown>): Promise<any> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("The promise should have rejected");
}

const GONE = [
  Deno.errors.BrokenPipe,
  Deno.errors.ConnectionReset,
  Deno.errors.ConnectionAborted,
  // The test itself has closed the stream.
  Deno.errors.BadResource,
  Deno.errors.Interrupted,
];

/** Waits for a write that may fail because the peer has disconnected; rejects with any other error. */
export async function unlessGone(writing: Promise<unknown>): Promise<void> {
  try {
    await writing;
  } catch (error) {
    if (!GONE.some((Kind) => error instanceof Kind)) throw error;
  }
}

/**
 * Ignores the failure of a promise that isn't the subject of a test.
 *
 * @param promise The promise.
 * @param _reason Why it may fail, for readers.
 * @returns The result, or `undefined` after a failure.
 */
export async function mayFail<T>(promise: Promise<T>, _reason: string): Promise<T | undefined> {
  try {
    return await promise;
  } catch {
    return undefined;
  }
}

/** Reads until the end of a stream, orderly or not; returns the number of bytes. */
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
