import { acquire, release } from "../memory/buffer_pool.ts";
import { NOTHING } from "../util/bytes.ts";
import { callForeign } from "../util/foreign.ts";
import { within } from "../util/timers.ts";
import type { Transport } from "./transport.ts";

type Readable = Pick<Transport, "read" | "tryRead" | "whenReadable">;

// Takes most heads whole; one that is longer is kept elsewhere as it grows. It is what a half-open connection costs, unless
// its transport reports readiness.
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

/** Waits until a transport that reports readiness has something to say. */
export function readable(transport: Readable): Promise<void> {
  return new Promise((resolve) => transport.whenReadable!(resolve));
}

/**
 * Reads once, into a buffer of the pool. With a transport that reports readiness there is none while the peer is silent.
 *
 * @param size Index of the buffer's size.
 * @param take Handles what has come, valid until it returns; `null` is the end of the stream.
 * @returns What `take` has returned.
 */
export async function readOnce<T>(
  transport: Readable,
  size: number,
  take: (bytes: Uint8Array | null) => T,
): Promise<T> {
  for (;;) {
    if (transport.tryRead !== undefined) await readable(transport);
    const buffer = acquire(size), { target } = buffer;
    try {
      const count = transport.tryRead === undefined
        ? await transport.read(target)
        : transport.tryRead(target);
      if (count === null) return take(null);
      if (count > 0 || transport.tryRead === undefined) return take(target.subarray(0, count));
    } finally {
      release(buffer);
    }
  }
}

/**
 * Reads, and keeps what has come, until a parser finds something in it.
 *
 * @param parse Gets all of it; returns `null` as long as more has to come, which it has to bound.
 * @returns What it has found; `null` if the stream ended before.
 */
export async function readParsed<T extends object>(
  transport: Readable,
  parse: (bytes: Uint8Array) => T | null,
): Promise<T | null> {
  let bytes = NOTHING, filled = 0;
  const take = (chunk: Uint8Array | null): T | null | undefined => {
    if (chunk === null) return null;
    if (filled + chunk.length > bytes.length) {
      const larger = new Uint8Array(Math.max(2 * bytes.length, filled + chunk.length));
      larger.set(bytes.subarray(0, filled));
      bytes = larger;
    }
    bytes.set(chunk, filled);
    filled += chunk.length;
    return parse(bytes.subarray(0, filled)) ?? undefined;
  };
  for (;;) {
    const found = await readOnce(transport, HEAD, take);
    if (found !== undefined) return found;
  }
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
  const take = (bytes: Uint8Array | null): Uint8Array | null | undefined => {
    if (bytes === null) return null;
    const end = push(bytes);
    return end < 0 ? undefined : end === bytes.length ? NOTHING : bytes.slice(end);
  };
  for (;;) {
    const rest = await readOnce(transport, HEAD, take);
    if (rest !== undefined) return rest;
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
  const take = (bytes: Uint8Array | null) => bytes === null || push(bytes);
  try {
    while (!await readOnce(transport, HEAD, take));
  } catch {
    // What has come by now is all there is.
  }
}

/** Reads `length` bytes and no further; resolves with `null` if the stream ends before. */
export async function readExactly(
  transport: Readable,
  length: number,
): Promise<Uint8Array | null> {
  const bytes = new Uint8Array(length);
  for (let filled = 0; filled < length;) {
    const count = await transport.read(bytes.subarray(filled));
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
