import { assertBytes, json, noise } from "./helpers.ts";
import { utf8 } from "../support/bytes.ts";

/** A message of the interop traffic, and how to send it. */
export interface Parcel {
  data: string | Uint8Array;
  compress: boolean;
  /** The number of fragments; 1 for none. */
  fragments: number;
}

const TEXT = "Grüße, 世界 🌍! Habe nun, ach! Philosophie, Juristerei und Medizin ";

/**
 * Messages of 16 B to 128 KiB: text and binary, compressed and uncompressed, whole and fragmented. They are the same for the same
 * seed.
 */
export function traffic(count: number, seed = 1): Parcel[] {
  const random = noise(count * 4, seed);
  // Large messages are cut from one text and one array, since making new ones would take longer than sending them.
  const pool = { json: json(300_000, seed), noise: noise(300_000, seed) };
  const text = TEXT.repeat(5000);
  return Array.from({ length: count }, (_, i) => {
    const [kind, size, start, how] = random.subarray(i * 4);
    // 16 B to 128 KiB, with every magnitude equally often, and both limits.
    const length = i === 0 ? 16 : i === 1 ? 131072 : Math.round(16 * 2 ** (size / 255 * 13));
    const from = start * 500;
    let data: string | Uint8Array;
    switch (kind & 3) {
      case 0:
        data = pool.json.slice(from, from + length);
        break;
      case 1:
        data = pool.noise.slice(from, from + length);
        break;
      case 2:
        data = new TextDecoder().decode(pool.json.subarray(from, from + length));
        break;
      default:
        data = text.slice(from, from + length / 2).toWellFormed();
    }
    return { data, compress: (how & 1) !== 0, fragments: (how & 6) === 0 ? 2 + (how >> 5) : 1 };
  });
}

/** Cuts a message into fragments. Text may be cut within a character. */
export function cut({ data, fragments }: Parcel): Uint8Array[] {
  const bytes = typeof data === "string" ? utf8(data) : data;
  const size = Math.ceil(bytes.length / fragments);
  return Array.from(
    { length: fragments },
    (_, i) => bytes.subarray(i * size, i === fragments - 1 ? undefined : i * size + size),
  );
}

/** Compares an echo with its message. */
export function assertSame(actual: string | Uint8Array, expected: string | Uint8Array): void {
  if (typeof expected === "string") {
    // Without `assertEquals`, which would compute a difference of 128 KiB.
    if (actual !== expected) throw new Error(`A text of ${expected.length} characters differs`);
  } else {
    if (typeof actual === "string") throw new Error("A binary message came back as text");
    assertBytes(actual, expected);
  }
}
