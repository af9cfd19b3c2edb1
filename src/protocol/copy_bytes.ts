import type { Source } from "./source.ts";

// Up to this length a loop over words is faster than a call, which needs a view of its own.
const INLINE = 128;

/** Copies `from[start..end)` to `to` at `at`. */
export function copyBytes(from: Source, start: number, end: number, to: Source, at: number): void {
  const length = end - start;
  if (length <= INLINE) copyWords(from.view, start, to.view, at, length);
  else to.bytes.set(from.bytes.subarray(start, end), at);
}

/** Copies four words at a time, since the loop itself costs more than a word. */
function copyWords(
  from: DataView,
  start: number,
  to: DataView,
  at: number,
  length: number,
): void {
  let i = 0;
  for (; i + 16 <= length; i += 16) {
    to.setInt32(at + i, from.getInt32(start + i, true), true);
    to.setInt32(at + i + 4, from.getInt32(start + i + 4, true), true);
    to.setInt32(at + i + 8, from.getInt32(start + i + 8, true), true);
    to.setInt32(at + i + 12, from.getInt32(start + i + 12, true), true);
  }
  for (; i + 4 <= length; i += 4) to.setInt32(at + i, from.getInt32(start + i, true), true);
  for (; i < length; i++) to.setUint8(at + i, from.getUint8(start + i));
}
