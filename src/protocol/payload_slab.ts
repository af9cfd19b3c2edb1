import { copyBytes } from "./copy_bytes.ts";
import type { Source } from "./source.ts";

// To allocate a backing store costs more than all other work for a small message, so small payloads are cut from shared
// slabs. A payload that the application keeps also keeps its slab of 16 KiB.
const SLAB = 16 * 1024;
const SMALL = 2 * 1024;

let slab = newSlab();
let used = 0;

/** Copies `source[start..end)` for the application to keep. */
export function copyPayload(source: Source, start: number, end: number): Uint8Array {
  const length = end - start;
  if (length > SMALL) return source.bytes.slice(start, end);
  // If the application transfers a payload's buffer, the slab is detached and its length is 0.
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
