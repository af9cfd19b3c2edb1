/** No bytes. Must not be given to the application, which could transfer the buffer. */
export const NOTHING: Uint8Array<ArrayBuffer> = new Uint8Array(0);

/** Copies the application's bytes. They may be a `Buffer` of Node, whose `slice` returns a view. */
export function copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

/**
 * Concatenates byte arrays.
 *
 * @param parts The arrays.
 * @param length The sum of their lengths, if the caller knows it.
 * @returns A new array.
 */
export function concat(
  parts: readonly Uint8Array[],
  length: number = parts.reduce((sum, part) => sum + part.length, 0),
): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/**
 * Returns a view of any accepted binary payload as bytes, without a copy.
 *
 * @throws {TypeError} For anything else.
 */
export function toBytes(data: unknown): Uint8Array {
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) {
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  throw new TypeError(
    `Cannot send ${describe(data)}: use a string, an ArrayBuffer or a view of one`,
  );
}

function describe(data: unknown): string {
  if (data === null) return "null";
  if (typeof data !== "object") return `a value of type ${typeof data}`;
  return `a value of class ${data.constructor?.name ?? "Object"}`;
}
