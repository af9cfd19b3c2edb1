import { assertEquals } from "@std/assert";
import { Inflater, type InflaterSettings, type InflateSink } from "../../src/deflate/inflater.ts";
import { CompressedFrame } from "../../src/deflate/compressed_frame.ts";
import type { Source } from "../../src/protocol/source.ts";
import { join, utf8 } from "../support/bytes.ts";
import type { Changes } from "../support/raw_peer.ts";
import type { Deflater, DeflaterSettings } from "../../src/deflate/deflater.ts";

export const TAKEOVER: DeflaterSettings = { windowBits: 15, takeover: true, memLevel: 8, level: 6 };

/** The headers of a client that offers extensions, in one line or several. */
export function offering(extensions: string | string[] | null): Changes {
  return { "Sec-WebSocket-Extensions": extensions };
}

/** The response of a server that accepts an extension, or none. */
export function answering(extension: string | null): { lines: string[] } {
  return { lines: extension === null ? [] : [`Sec-WebSocket-Extensions: ${extension}`] };
}

/** Collects the output of an inflater by message. */
export class Collector implements InflateSink {
  readonly messages: Uint8Array[] = [];
  #parts: Uint8Array[] = [];
  /** The number of bytes of the unfinished message. */
  length = 0;

  /** The number of bytes that may be accepted. */
  room = Infinity;

  inflated({ bytes }: Source, start: number, end: number, last: boolean): void {
    this.#parts.push(bytes.slice(start, end));
    this.length += end - start;
    if (!last) return;
    this.messages.push(join(this.#parts));
    this.#parts = [];
    this.length = 0;
  }

  /** The messages as text. */
  get texts(): string[] {
    return this.messages.map((message) => new TextDecoder().decode(message));
  }
}

/** Makes an inflater and its collector. */
export function inflater(
  settings: Partial<InflaterSettings> = {},
): { inflater: Inflater; got: Collector } {
  const got = new Collector();
  return {
    got,
    inflater: new Inflater(
      { windowBits: 15, takeover: true, maxMessageSize: 0, ...settings },
      got,
    ),
  };
}

/** Pushes a piece; resolves when it is inflated. */
export function push(inflater: Inflater, bytes: Uint8Array, final = true): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error: unknown) => error === null ? resolve() : reject(error);
    if (inflater.push(bytes, 0, bytes.length, final, done)) resolve();
  });
}

/** Compresses a message of any length in turns; returns the pieces of the payload. */
export function packInTurns(
  deflater: Deflater,
  payload: Uint8Array,
  final = true,
): Promise<Uint8Array[]> {
  return new Promise((resolve) => {
    const frame = new CompressedFrame(payload.length, null);
    deflater.deflateInTurns(payload, final, frame, () => resolve(frame.payload()));
  });
}

/** The same, with the payload in one piece. */
export async function deflateInTurns(
  deflater: Deflater,
  payload: Uint8Array,
  final = true,
): Promise<Uint8Array> {
  return join(await packInTurns(deflater, payload, final));
}

/** Like `assertEquals`, which takes minutes for long messages that differ. */
export function assertBytes(actual: Uint8Array | undefined, expected: Uint8Array): void {
  assertEquals(actual?.length, expected.length);
  for (let i = 0; i < expected.length; i++) {
    if (actual![i] !== expected[i]) {
      throw new Error(`Messages of ${expected.length} bytes differ at ${i}`);
    }
  }
}

/** Random bytes, the same for the same seed. */
export function noise(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** JSON like that of a price feed, with exactly this length. */
export function json(length: number, seed = 1): Uint8Array {
  const random = noise(length + 64, seed);
  let text = "[";
  for (let i = 0; text.length < length; i += 4) {
    const [a, b, c, d] = random.subarray(i);
    const symbol = ["EURUSD", "GBPUSD", "USDJPY", "AAPL", "MSFT"][a % 5];
    text += JSON.stringify({ symbol, bid: b * c / 100, ask: c * d / 100, size: d, open: b > 99 }) +
      ",";
  }
  return utf8(text.slice(0, length));
}
