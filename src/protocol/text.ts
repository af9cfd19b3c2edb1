import { Buffer, isUtf8 } from "node:buffer";

// Node's slicing methods work on any Uint8Array, and for short messages cost a fraction of a TextDecoder call. They
// would replace invalid bytes silently, so the bytes are always validated first.
const { latin1Slice, utf8Slice } = Buffer.prototype as unknown as {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
  utf8Slice(this: Uint8Array, start: number, end: number): string;
};
// Above some kilobytes the vectorised TextDecoder is faster.
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true });
const LARGE = 2048;
// And here the platform's check, which is a call.
const LONG = 256;

/** Whether every byte of `view[start..end)` is ASCII. */
export function isAscii(view: DataView, start: number, end: number): boolean {
  let i = start, bits = 0;
  for (const wide = end - 16; i <= wide; i += 16) {
    bits |= view.getInt32(i) | view.getInt32(i + 4) | view.getInt32(i + 8) | view.getInt32(i + 12);
    if ((bits & 0x80808080) !== 0) return false;
  }
  for (const word = end - 4; i <= word; i += 4) bits |= view.getInt32(i);
  for (; i < end; i++) bits |= view.getUint8(i);
  return (bits & 0x80808080) === 0;
}

/** Whether `bytes[start..end)`, which `view` shows as well, are complete, valid UTF-8. */
export function isText(bytes: Uint8Array, view: DataView, start: number, end: number): boolean {
  return (end - start <= LONG && isAscii(view, start, end)) || isUtf8(bytes.subarray(start, end));
}

/** Decodes `bytes[start..end)`; returns `null` if they aren't UTF-8. */
export function decodeText(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  end: number,
): string | null {
  if (isAscii(view, start, end)) return decodeAscii(bytes, start, end);
  return isUtf8(bytes.subarray(start, end)) ? decodeValidText(bytes, start, end) : null;
}

/** Decodes bytes that are ASCII, or whose other characters don't matter. */
export function decodeAscii(bytes: Uint8Array, start: number, end: number): string {
  return latin1Slice.call(bytes, start, end);
}

/** Decodes bytes that were validated as they arrived. */
export function decodeValidText(bytes: Uint8Array, start: number, end: number): string {
  return end - start < LARGE
    ? utf8Slice.call(bytes, start, end)
    : DECODER.decode(bytes.subarray(start, end));
}
