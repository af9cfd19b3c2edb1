import { copyBytes } from "./copy_bytes.ts";
import type { Source } from "./frame_decoder.ts";

// A typed array of its own costs more than everything else that happens to a small message (the allocation of its
// backing store), so small payloads are cut from shared slabs. A payload that is kept pins its slab, 16 KiB.
const SLAB = 16 * 1024;
const SMALL = 2 * 1024;

let slab = newSlab();
let used = 0;

/** A copy of `source[start..end)` that the application may keep. */
export function copyPayload(source: Source, start: number, end: number): Uint8Array {
  const length = end - start;
  if (length > SMALL) return source.bytes.slice(start, end);
  // An application that transfers a payload's buffer away takes the slab with it, which then has no length.
  if (length >= slab.bytes.length - used) {
    slab = newSlab();
    used = 0;
  }
  const at = used;
  // Payloads start at multiples of 8, so that any typed array can be laid over them.
  used = (at + length + 7) & ~7;
  copyBytes(source, start, end, slab, at);
  return new Uint8Array(slab.bytes.buffer, at, length);
}

function newSlab() {
  const bytes = new Uint8Array(SLAB);
  return { bytes, view: new DataView(bytes.buffer) };
}
