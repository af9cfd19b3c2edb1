import { utf8 } from "./bytes.ts";

/** Makes a message of `size` bytes that contains a number. */
export function numbered(n: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  new DataView(bytes.buffer).setUint32(0, n);
  return bytes;
}

/** The number that a message contains. */
export function numberOf(data: string | Uint8Array): number {
  if (typeof data === "string") throw new TypeError("A numbered message is binary");
  return new DataView(data.buffer, data.byteOffset).getUint32(0);
}

/** The numbers from 0 to `count - 1`. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Converts a message to a form that compares and prints well. */
export function keyOf(data: string | Uint8Array): string {
  const bytes = typeof data === "string" ? utf8(data) : data;
  let hash = 0x811c9dc5;
  for (let at = 0; at < bytes.length; at++) hash = Math.imul(hash ^ bytes[at], 0x01000193);
  const type = typeof data === "string" ? "text" : "binary";
  const start = new TextDecoder("latin1").decode(bytes.subarray(0, 12));
  return `${type} ${bytes.length} ${JSON.stringify(start)} ${(hash >>> 0).toString(16)}`;
}
