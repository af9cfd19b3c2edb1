/** Parses hexadecimal digits; spaces are ignored. */
export function hex(digits: string): Uint8Array {
  const packed = digits.replace(/\s/g, "");
  if (packed.length % 2 !== 0 || /[^0-9a-f]/i.test(packed)) {
    throw new Error(`Not hexadecimal digits: ${digits}`);
  }
  return Uint8Array.from({ length: packed.length / 2 }, (_, at) => {
    return parseInt(packed.slice(2 * at, 2 * at + 2), 16);
  });
}

/** Formats bytes as hexadecimal digits. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Encodes a text as UTF-8. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Decodes UTF-8, and keeps a byte order mark; throws if it is invalid. */
export function text(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

/** Concatenates arrays. */
export function concat(...parts: Uint8Array[]): Uint8Array {
  return join(parts);
}

/** Concatenates any number of arrays, more than fit on the stack as arguments. */
export function join(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Repeats bytes `count` times. */
export function repeat(part: Uint8Array, count: number): Uint8Array {
  return join(Array.from({ length: count }, () => part));
}

/** Cuts bytes into pieces of at most `size`. */
export function chop(bytes: Uint8Array, size: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
  return pieces;
}

/** Whether two arrays are equal. For megabytes, `assertEquals` takes seconds. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}
