// A typed array of its own costs more than everything else that happens to a small message (the allocation of its
// backing store), so small payloads are cut from shared slabs. A payload that is kept pins its slab, 16 KiB.
const SLAB = 16 * 1024;
const SMALL = 2 * 1024;

let slab = new Uint8Array(0);
let view = new DataView(slab.buffer);
let used = SLAB + 1; // no room, not even for an empty payload

/** A copy of `bytes[start..end)` that the application may keep. */
export function copyPayload(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start;
  if (length > SMALL) return bytes.slice(start, end);
  if (length > SLAB - used) {
    slab = new Uint8Array(SLAB);
    view = new DataView(slab.buffer);
    used = 0;
  }
  const at = used;
  // Payloads start at multiples of 8, so that any typed array can be laid over them.
  used = (at + length + 7) & ~7;
  const copy = new Uint8Array(slab.buffer, at, length);
  if (length <= 64) {
    for (let i = 0; i < length; i++) view.setUint8(at + i, bytes[start + i]);
  } else {
    copy.set(bytes.subarray(start, end));
  }
  return copy;
}
