import { acquire, release } from "../memory/buffer_pool.ts";
import type { Transport } from "./transport.ts";
import { NOTHING } from "../util/bytes.ts";

// Takes most heads whole; one that is longer is kept elsewhere as it grows. It is what a half-open connection costs.
const HEAD = 1;

/**
 * Reads until a parser has found the end of a head.
 *
 * @param push Takes bytes; returns the position behind the head, or -1 while there is none.
 * @returns The bytes behind the head, or `null` where the stream ended before.
 */
export async function readHead(
  transport: Transport,
  push: (bytes: Uint8Array) => number,
): Promise<Uint8Array | null> {
  const buffer = acquire(HEAD);
  try {
    for (;;) {
      const count = await transport.read(buffer.target);
      if (count === null) return null;
      const bytes = buffer.target.subarray(0, count);
      const end = push(bytes);
      if (end >= 0) return end === count ? NOTHING : bytes.slice(end);
    }
  } finally {
    release(buffer);
  }
}

/** Writes all of `bytes`. */
export async function writeAll(transport: Transport, bytes: Uint8Array): Promise<void> {
  let at = 0;
  while (at < bytes.length) at += await transport.write(at === 0 ? bytes : bytes.subarray(at));
}
