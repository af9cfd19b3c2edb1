import type { Source } from "../protocol/source.ts";

/** A range of memory to read into or to write from. */
export interface Buffer extends Source {
  /** The range that may be filled; `bytes` and `view` cover the whole backing store. */
  readonly target: Uint8Array;
  /** The position of `target` in `bytes`. */
  readonly start: number;
  /** Index of its size in {@linkcode SIZES}. */
  readonly size: number;
}

// A silent connection has a slot of the smallest size for its pending read; a busy one gets larger buffers. The largest
// size for reads fits a message of 64 KiB with the longest header, so that such a message is copied into one block.
export const SIZES = [256, 2 * 1024, 16 * 1024, 64 * 1024 + 14, 256 * 1024];
/** Index of the largest size for reads, and for blocks that several frames share. */
export const LARGEST = 3;
/** Index of the size for larger frames: few writes, but still small enough for the processor's cache. */
export const HUGE = 4;
// Slots are cut from slabs: a backing store for each would cost more memory than the slot itself.
const SLAB = 64 * 1024;
// The number of free buffers of each size that are kept: 2 MiB of the smaller ones, 8 MiB of the largest.
const KEPT = [8192, 1024, 128, 128, 32];
const free: Buffer[][] = [[], [], [], [], []];

/** Takes a buffer of the size with this index; it isn't cleared. */
export function acquire(size: number): Buffer {
  const buffer = free[size].pop();
  if (buffer !== undefined) return buffer;
  if (size === 0) {
    cutSlab();
    return free[0].pop()!;
  }
  const bytes = new Uint8Array(SIZES[size]);
  return { bytes, view: new DataView(bytes.buffer), target: bytes, start: 0, size };
}

/** Gives a buffer back, which must not be used afterwards. One that isn't from the pool (size -1) is ignored. */
export function release(buffer: Buffer): void {
  if (buffer.size < 0) return;
  const list = free[buffer.size];
  if (list.length < KEPT[buffer.size]) list.push(buffer);
}

function cutSlab(): void {
  const bytes = new Uint8Array(SLAB);
  const view = new DataView(bytes.buffer);
  for (let start = 0; start < SLAB; start += SIZES[0]) {
    const target = bytes.subarray(start, start + SIZES[0]);
    free[0].push({ bytes, view, target, start, size: 0 });
  }
}
