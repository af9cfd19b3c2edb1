import type { Source } from "./frame_decoder.ts";

// A typed array of its own costs more than everything else that happens to a small message (the allocation of its
// backing store), so small payloads are cut from shared slabs. A payload that is kept pins its slab, 16 KiB.
const SLAB = 16 * 1024;
const SMALL = 2 * 1024;
// Up to here a loop over words beats a call.
const INLINE = 256;

let slab = new Uint8Array(SLAB);
let slabView = new DataView(slab.buffer);
let used = 0;

/** A copy of `source[start..end)` that the application may keep. */
export function copyPayload({ bytes, view }: Source, start: number, end: number): Uint8Array {
  const length = end - start;
  if (length > SMALL) return bytes.slice(start, end);
  if (length > SLAB - used) {
    slab = new Uint8Array(SLAB);
    slabView = new DataView(slab.buffer);
    used = 0;
  }
  const at = used;
  // Payloads start at multiples of 8, so that any typed array can be laid over them.
  used = (at + length + 7) & ~7;
  const copy = new Uint8Array(slab.buffer, at, length);
  if (length <= INLINE) {
    let i = 0;
    for (; i + 4 <= length; i += 4) slabView.setInt32(at + i, view.getInt32(start + i));
    for (; i < length; i++) slabView.setUint8(at + i, view.getUint8(start + i));
  } else {
    copy.set(bytes.subarray(start, end));
  }
  return copy;
}
