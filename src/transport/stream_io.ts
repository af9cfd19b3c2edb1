import { acquire, release } from "../memory/buffer_pool.ts";
import { NOTHING } from "../util/bytes.ts";
import { callForeign } from "../util/foreign.ts";
import { ReadCheck } from "./read_check.ts";
import type { Transport } from "./transport.ts";

type Readable = Pick<Transport, "read" | "tryRead" | "whenReadable">;

// The size of the buffer for heads, which a half-open connection costs unless its transport reports readiness. Most heads
// fit; the parser keeps longer ones.
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

/** Resolves when a transport that reports readiness has something. */
export function readable(transport: Readable): Promise<void> {
  return new Promise((resolve) => transport.whenReadable!(resolve));
}

/**
 * Reads into buffers of the pool. If the transport reports readiness, no buffer waits together with a silent peer.
 *
 * @param reads Checks all reads of this transport.
 * @param size Index of the buffers' size.
 * @param take Handles the bytes, which are valid until it returns; `null` is the end of the stream. Returns the result, or
 * `undefined` to read on.
 * @returns The result of `take`.
 */
export async function readInto<T>(
  transport: Readable,
  reads: ReadCheck,
  size: number,
  take: (bytes: Uint8Array | null) => T | undefined,
): Promise<T> {
  for (;;) {
    if (transport.tryRead !== undefined) await readable(transport);
    const buffer = acquire(size), { target } = buffer;
    try {
      const said: unknown = transport.tryRead === undefined
        ? await transport.read(target)
        : transport.tryRead(target);
      if (said === 0 && transport.tryRead !== undefined) continue;
      const count = reads.check(said, target.length);
      const result = take(count === null ? null : target.subarray(0, count));
      if (result !== undefined) return result;
    } finally {
      release(buffer);
    }
  }
}

/**
 * Reads, and keeps the bytes, until a parser finds something in them.
 *
 * @param parse Gets all bytes so far; returns `null` if it needs more, and has to bound their number.
 * @returns What the parser has found; `null` if the stream ended before.
 */
export function readParsed<T extends object>(
  transport: Readable,
  parse: (bytes: Uint8Array) => T | null,
): Promise<T | null> {
  let bytes = NOTHING, filled = 0;
  return readInto<T | null>(transport, new ReadCheck(), HEAD, (chunk) => {
    if (chunk === null) return null;
    if (filled + chunk.length > bytes.length) {
      const larger = new Uint8Array(Math.max(2 * bytes.length, filled + chunk.length));
      larger.set(bytes.subarray(0, filled));
      bytes = larger;
    }
    bytes.set(chunk, filled);
    filled += chunk.length;
    return parse(bytes.subarray(0, filled)) ?? undefined;
  });
}

/**
 * Reads until a parser has found the end of a head.
 *
 * @param push Gets bytes; returns the position after the head, or -1 while it isn't complete.
 * @returns The bytes after the head, or `null` if the stream has ended before.
 */
export function readHead(
  transport: Readable,
  push: (bytes: Uint8Array) => number,
): Promise<Uint8Array | null> {
  return readInto<Uint8Array | null>(transport, new ReadCheck(), HEAD, (bytes) => {
    if (bytes === null) return null;
    const end = push(bytes);
    return end < 0 ? undefined : end === bytes.length ? NOTHING : bytes.slice(end);
  });
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
  try {
    await readInto(
      transport,
      new ReadCheck(),
      HEAD,
      (bytes) => bytes === null || push(bytes) || undefined,
    );
  } catch {
    // A failure counts as the end of the stream.
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
