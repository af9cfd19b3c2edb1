/** A message of `size` bytes that carries its number. */
export function numbered(n: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  new DataView(bytes.buffer).setUint32(0, n);
  return bytes;
}

/** The number that a message carries. */
export function numberOf(data: string | Uint8Array): number {
  if (typeof data === "string") throw new TypeError("A numbered message is binary");
  return new DataView(data.buffer, data.byteOffset).getUint32(0);
}

/** 0, 1, 2 … */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
