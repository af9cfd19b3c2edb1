import { acquire, release } from "../memory/buffer_pool.ts";
import { NOTHING } from "../util/bytes.ts";
import { callForeign } from "../util/foreign.ts";
import { within } from "../util/timers.ts";
import { ReadCheck } from "./read_check.ts";
import type { Transport } from "./transport.ts";

type Readable = Pick<Transport, "read">;

// Takes most heads whole; one that is longer is kept elsewhere as it grows. It is what a half-open connection costs.
const HEAD = 1;

/** The most that is written to a stream of the application's at once. */
export const WRITE_LIMIT: number = 64 * 1024;

/**
 * Hands on what a stream has given to a reader whose buffer may be smaller.
 *
 * @returns What didn't fit, as a view; `undefined` if all of it did.
 */
export function copyInto(into: Uint8Array, chunk: Uint8Array): Uint8Array | undefined {
  if (chunk.length <= into.length) {
    into.set(chunk);
    return undefined;
  }
  into.set(chunk.subarray(0, into.length));
  return chunk.subarray(into.length);
}

/**
 * Reads until a parser has found the end of a head.
 *
 * @param push Takes bytes; returns the position after the head, or -1 while there is none.
 * @returns The bytes after the head, or `null` if the stream ended before.
 */
export async function readHead(
  transport: Readable,
  push: (bytes: Uint8Array) => number,
): Promise<Uint8Array | null> {
  const buffer = acquire(HEAD), { target } = buffer, reads = new ReadCheck();
  try {
    for (;;) {
      const count = reads.check(await transport.read(target), target.length);
      if (count === null) return null;
      const bytes = target.subarray(0, count);
      const end = push(bytes);
      if (end >= 0) return end === count ? NOTHING : bytes.slice(end);
    }
  } finally {
    release(buffer);
  }
}

/**
 * Reads until a parser has had enough, the stream ends or fails.
 *
 * @param early Bytes that were read before.
 * @param push Takes bytes; returns whether it has had enough.
 */
export async function readUntil(
  transport: Readable,
  early: Uint8Array,
  push: (bytes: Uint8Array) => boolean,
): Promise<void> {
  if (push(early)) return;
  const buffer = acquire(HEAD), { target } = buffer, reads = new ReadCheck();
  try {
    for (;;) {
      const count = reads.check(await transport.read(target), target.length);
      if (count === null || push(target.subarray(0, count))) return;
    }
  } catch {
    // What has come by now is all there is.
  } finally {
    release(buffer);
  }
}

/** Reads `length` bytes and no further; resolves with `null` if the stream ends before. */
export async function readExactly(
  transport: Readable,
  length: number,
): Promise<Uint8Array | null> {
  const bytes = new Uint8Array(length), reads = new ReadCheck();
  for (let filled = 0; filled < length;) {
    const room = bytes.subarray(filled);
    const count = reads.check(await transport.read(room), room.length);
    if (count === null) return null;
    filled += count;
  }
  return bytes;
}

/** Writes all of `bytes`. */
export async function writeAll(
  transport: Pick<Transport, "write">,
  bytes: Uint8Array,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += checkTaken(await transport.write(at === 0 ? bytes : bytes.subarray(at)));
  }
}

/**
 * Checks what a write has taken, for a loop that goes on with the rest: with writes that take nothing it would never let
 * the event loop go on.
 */
export function checkTaken(count: number): number {
  if (!(count > 0)) throw new Deno.errors.WriteZero(`A write has taken ${count} bytes`);
  return count;
}

/** Reads to the end of a stream and drops what comes, for at most `timeout` ms. */
export async function drain(transport: Readable, timeout: number): Promise<void> {
  // The clock as well: with a stream that always has more in memory, no timer gets its turn.
  const end = performance.now() + timeout;
  await within(timeout, readUntil(transport, NOTHING, () => performance.now() >= end));
}

/** Closes a transport, whether it has been closed before or fails to. */
export function closeQuietly(transport: Transport): void {
  callForeign(() => transport.close(), () => {});
}

/** Closes a transport that isn't at an orderly end, and tells the peer so where that can be told. */
export function cutQuietly(transport: Transport): void {
  callForeign(() => transport.cut === undefined ? transport.close() : transport.cut(), () => {});
}

/** Lets what a transport waits for keep the process alive, or not, whether it can or fails to. */
export function setRef(transport: Transport, on: boolean): void {
  callForeign(() => on ? transport.ref?.() : transport.unref?.(), () => {});
}

/** What a method of a transport promises; it rejects if the call throws. */
export function promised<T>(call: () => Promise<T>): Promise<T> {
  try {
    const result = call();
    return result instanceof Promise ? result : Promise.resolve(result);
  } catch (error) {
    return Promise.reject(error);
  }
}
