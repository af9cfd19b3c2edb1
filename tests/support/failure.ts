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
