import type { SlowPolicy } from "../options.ts";
import type { BrokerMessage } from "./broker.ts";

/** The memory of a waiting publication apart from its payload, in bytes. */
export const PUBLICATION_OVERHEAD = 128;

// The header before the payload: the publisher (8 bytes), and a byte with the version of this layout in its upper half,
// the slow policy in bits 1 and 2, and in bit 0 whether it is text.
const ORIGIN = 8;
const HEAD = ORIGIN + 1;
const VERSION = 1;
const POLICIES: readonly SlowPolicy[] = ["queue", "drop", "close"];

/** Packs and unpacks publications of one context for brokers that carry bytes. */
export class Envelope {
  readonly #origin = crypto.getRandomValues(new Uint8Array(ORIGIN));

  /** Packs a publication into a copy. */
  pack({ text, payload, slow }: BrokerMessage): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(HEAD + payload.length);
    bytes.set(this.#origin);
    bytes[ORIGIN] = packFlags(text, slow) | (VERSION << 4);
    bytes.set(payload, HEAD);
    return bytes;
  }

  /** Unpacks a publication; `null` if it comes from this context. */
  unpack(bytes: Uint8Array): BrokerMessage | null {
    if (bytes.length < HEAD || bytes[ORIGIN] >> 4 !== VERSION) {
      throw new TypeError("Cannot read a publication of another kind or version");
    }
    if (this.#origin.every((byte, i) => byte === bytes[i])) return null;
    return { ...unpackFlags(bytes[ORIGIN] & 15), payload: bytes.subarray(HEAD) };
  }
}

/** Packs everything but the payload into four bits. */
export function packFlags(text: boolean, slow: SlowPolicy): number {
  return (text ? 1 : 0) | (POLICIES.indexOf(slow) << 1);
}

/** Unpacks the result of {@linkcode packFlags}. */
export function unpackFlags(flags: number): Omit<BrokerMessage, "payload"> {
  return { text: (flags & 1) === 1, slow: POLICIES[flags >> 1] ?? "queue" };
}
