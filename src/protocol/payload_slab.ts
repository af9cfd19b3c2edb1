import type { Source } from "./frame_decoder.ts";

// To allocate a backing store costs more than all other work for a small message, so small payloads are cut from shared
// slabs. A payload that the application keeps also keeps its slab of 16 KiB.
const SLAB = 16 * 1024;
const SMALL = 2 * 1024;
// Up to this length a loop over words is faster than a call.
const INLINE = 128;

let slab = new Uint8Array(SLAB);
let slabView = new DataView(slab.buffer);
let used = 0;

/** Copies `source[start..end)` for the application to keep. */
export function copyPayload({ bytes, view }: Source, start: number, end: number): Uint8Array {
  const length = end - start;
  if (length > SMALL) return bytes.slice(start, end);
  // If the application transfers a payload's buffer, the slab is detached and its length is 0.
  if (length >= slab.length - used) {
    slab = new Uint8Array(SLAB);
    slabView = new DataView(slab.buffer);
    used = 0;
  }
  const at = used;
  // Payloads start at multiples of 8, so that any typed array can be laid over them.
  used = (at + length + 7) & ~7;
  const copy = new Uint8Array(slab.buffer, at, length);
  if (length <= INLINE) {
    copyWords(view, start, at, length);
  } else {
    copy.set(bytes.subarray(start, end));
  }
  return copy;
}

/** Copies four words at a time, since the loop itself costs more than a word. */
function copyWords(from: DataView, start: number, at: number, length: number): void {
  const to = slabView;
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
