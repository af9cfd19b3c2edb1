import { Buffer } from "node:buffer";

/**
 * Reads bytes as text, one code unit per byte (the WHATWG's isomorphic decode). A `TextDecoder` can't: what it calls
 * latin1 is windows-1252, where 0x80 becomes U+20AC and the string two bytes per character.
 *
 * The result is a string of its own, one byte per character, and keeps nothing of the read buffer alive.
 *
 * @param bytes Where the text is.
 * @param start The first byte.
 * @param end The byte after the last one.
 * @returns The text.
 */
export function decodeLatin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
}

/**
 * Writes text as bytes, one byte per code unit. The caller has made sure that there is room, and that no code unit
 * is above 0xFF: it would be cut to its low byte, and U+010A would thus become a line feed.
 *
 * @param text What to write.
 * @param into Where to write it.
 * @param at The index of the first byte.
 * @returns The index after the last byte.
 */
export function writeLatin1(text: string, into: Uint8Array, at: number): number {
  for (let from = 0; from < text.length; from++) into[at++] = text.charCodeAt(from);
  return at;
}
