import { randomKey } from "../protocol/mask.ts";

/**
 * What gives the masking keys of a client's frames: a strong source of randomness (RFC 6455 10.3), or the
 * application's, if it has one. One that throws is reported, and replaced for that frame.
 */
export function keySource(
  fill: ((key: Uint8Array) => void) | null,
  report: (error: unknown) => void,
): () => number {
  if (fill === null) return randomKey;
  return () => {
    const key = new Uint8Array(4);
    try {
      fill(key);
    } catch (error) {
      report(error);
      return randomKey();
    }
    return new DataView(key.buffer).getInt32(0, true);
  };
}
