import { acquire, release } from "../memory/buffer_pool.ts";
import { NOTHING } from "../util/bytes.ts";
import { callForeign } from "../util/foreign.ts";
import { within } from "../util/timers.ts";
import { ReadCheck } from "./read_check.ts";
import type { Transport } from "./transport.ts";

type Readable = Pick<Transport, "read">;

// The size of the buffer for heads, which a half-open connection costs. Most heads fit; the parser keeps longer ones.
const HEAD = 1;

/** The most bytes that are written at once to a stream of the application. */
export const WRITE_LIMIT: number = 64 * 1024;

/**
 * Copies a chunk of a stream into a reader's buffer, which may be smaller.
 *
 * @returns A view of the rest that didn't fit; `undefined` if everything did.
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
 * @param push Gets bytes; returns the position after the head, or -1 while it isn't complete.
 * @returns The bytes after the head, or `null` if the stream has ended before.
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
 * Reads until a parser needs no more bytes, or the stream ends or fails.
 *
 * @param early Bytes that were read before.
 * @param push Gets bytes; returns whether it needs no more.
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
    // A failure counts as the end of the stream.
  } finally {
    release(buffer);
  }
}

/** Reads exactly `length` bytes; resolves with `null` if the stream ends before. */
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
 * Checks the result of a write for a loop that writes the rest: with writes that take no bytes, the loop would stop the
 * event loop.
 */
export function checkTaken(count: number): number {
  if (!(count > 0)) throw new Deno.errors.WriteZero(`A write has taken ${count} bytes`);
  return count;
}

/** Reads and drops the rest of a stream, for at most `timeout` ms. */
export async function drain(transport: Readable, timeout: number): Promise<void> {
  // The clock is checked, too: if a stream always has more bytes in memory, no timer fires.
  const end = performance.now() + timeout;
  await within(timeout, readUntil(transport, NOTHING, () => performance.now() >= end));
}

/** Closes a transport. It may have been closed before, and errors are ignored. */
export function closeQuietly(transport: Transport): void {
  callForeign(() => transport.close(), () => {});
}

/** Closes a transport whose end isn't orderly, in a way that the peer notices if the transport has one. */
export function cutQuietly(transport: Transport): void {
  callForeign(() => transport.cut === undefined ? transport.close() : transport.cut(), () => {});
}

/** Sets whether a transport keeps the process alive, if it can; errors are ignored. */
export function setRef(transport: Transport, on: boolean): void {
  callForeign(() => on ? transport.ref?.() : transport.unref?.(), () => {});
}

/** Calls a method of a transport; returns a promise, which rejects if the call throws. */
export function promised<T>(call: () => Promise<T>): Promise<T> {
  try {
    const result = call();
    return result instanceof Promise ? result : Promise.resolve(result);
  } catch (error) {
    return Promise.reject(error);
  }
}
