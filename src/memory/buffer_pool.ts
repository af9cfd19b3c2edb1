import type { Source } from "../protocol/frame_decoder.ts";

/** A stretch of memory to read into or to write from, and where it lies in its backing store. */
export interface Buffer extends Source {
  /** The part that may be filled; `bytes` and `view` cover the whole backing store. */
  readonly target: Uint8Array;
  /** Where `target` begins in `bytes`. */
  readonly start: number;
  /** Index of its size in {@linkcode SIZES}. */
  readonly size: number;
}

// A silent connection owns a slot of the smallest size for its pending read; a busy one moves up. The largest
// is one message of 64 KiB with the longest header, so that such a message is copied into one block.
export const SIZES = [256, 2 * 1024, 16 * 1024, 64 * 1024 + 14, 256 * 1024];
/** Index of the largest size for reads, and for blocks that several frames share. */
export const LARGEST = 3;
/** Index of the size for frames that are larger: fewer writes, and still in the processor's cache. */
export const HUGE = 4;
// Slots are cut from slabs: a typed array with a backing store of its own costs more than a slot holds.
const SLAB = 64 * 1024;
// How many free buffers of each size are kept: 2 MiB of the smaller ones, 8 MiB of the largest.
const KEPT = [8192, 1024, 128, 128, 32];
const free: Buffer[][] = [[], [], [], [], []];

/** Takes a buffer of the given size; it is not cleared. */
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

/** Gives a buffer back; one that is not of the pool (size -1) is left alone. Nothing may touch it afterwards. */
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
