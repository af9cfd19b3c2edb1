import zlib from "node:zlib";
import { join } from "./bytes.ts";

const { Z_SYNC_FLUSH } = zlib.constants;
const WINDOW = 32 * 1024;
const TAIL = Uint8Array.of(0, 0, 0xff, 0xff);

/** Compresses a message without references to earlier ones (RFC 7692 7.2.1), with a level of zlib. */
export function compressed(message: Uint8Array | string, level = 6): Uint8Array {
  const packed = zlib.deflateRawSync(message, { level, finishFlush: Z_SYNC_FLUSH });
  return new Uint8Array(packed).slice(0, -TAIL.length);
}

/** One direction of permessage-deflate (RFC 7692), implemented with the one-shot functions of `node:zlib`. */
export class Deflate {
  #history: Uint8Array = new Uint8Array(0);

  constructor(readonly takeover: boolean) {}

  /** Compresses without references to earlier messages, which is valid with context takeover, too. */
  compress(message: Uint8Array): Uint8Array {
    return compressed(message);
  }

  decompress(payload: Uint8Array): Uint8Array {
    const before = this.#history;
    // The window comes first, as a block that isn't compressed (RFC 1951 3.2.4).
    const { length } = before;
    const head = Uint8Array.of(0, length & 255, length >> 8, ~length & 255, (~length >> 8) & 255);
    const all = new Uint8Array(
      zlib.inflateRawSync(join([head, before, payload, TAIL]), { finishFlush: Z_SYNC_FLUSH }),
    );
    if (this.takeover) this.#history = all.slice(-WINDOW);
    return all.slice(length);
  }
}
