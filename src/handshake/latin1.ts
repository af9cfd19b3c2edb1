import { Buffer } from "node:buffer";

/**
 * Reads bytes as text, one code unit per byte (the WHATWG's isomorphic decode). A `TextDecoder` can't: its latin1 is
 * windows-1252, in which 0x80 becomes U+20AC, and the string needs two bytes per character.
 *
 * The string is a copy with one byte per character, and doesn't keep the read buffer alive.
 *
 * @param bytes The buffer with the text.
 * @param start The first byte.
 * @param end The byte after the last one.
 * @returns The text.
 */
export function decodeLatin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
}

/**
 * Writes text as bytes, one byte per code unit. The caller must make sure that there is room, and that no code unit is
 * above 0xFF: only its low byte would be written, and U+010A would become a line feed.
 *
 * @param text The text.
 * @param into The buffer to write to.
 * @param at The index of the first byte.
 * @returns The index after the last byte.
 */
export function writeLatin1(text: string, into: Uint8Array, at: number): number {
  for (let from = 0; from < text.length; from++) into[at++] = text.charCodeAt(from);
  return at;
}
