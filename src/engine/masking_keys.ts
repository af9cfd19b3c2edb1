import { randomKey } from "../protocol/mask.ts";

/**
 * Returns the source of masking keys for a client's frames: strong randomness (RFC 6455 10.3), or the application's
 * `maskGenerator`. If that throws, the error is reported and a random key is used.
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
