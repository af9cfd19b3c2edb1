/** The longest header (RFC 6455 5.2): two bytes, a length of eight, and a masking key of four. */
export const LONGEST_HEADER = 14;
/** The longest payload of a control frame (RFC 6455 5.5). */
export const LONGEST_CONTROL = 125;

/** The length of a frame's header in bytes (RFC 6455 5.2), with the payload length in its minimal form. */
export function headerSize(length: number, masked: boolean): number {
  return (length < 126 ? 2 : length < 65536 ? 4 : 10) + (masked ? 4 : 0);
}

/**
 * Writes a frame header, without the masking key, and returns the position after it.
 *
 * @param first FIN, the reserved bits and the opcode.
 * @param maskBit `0x80` if a masking key follows, else 0.
 */
export function writeHeader(
  into: Uint8Array,
  at: number,
  first: number,
  length: number,
  maskBit: number,
): number {
  into[at++] = first;
  if (length < 126) {
    into[at++] = maskBit | length;
  } else if (length < 65536) {
    into[at++] = maskBit | 126;
    into[at++] = length >>> 8;
    into[at++] = length;
  } else {
    into[at++] = maskBit | 127;
    const high = Math.floor(length / 0x100000000);
    into[at++] = high >>> 24;
    into[at++] = high >>> 16;
    into[at++] = high >>> 8;
    into[at++] = high;
    into[at++] = length >>> 24;
    into[at++] = length >>> 16;
    into[at++] = length >>> 8;
    into[at++] = length;
  }
  return at;
}
