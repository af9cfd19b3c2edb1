import { constants, deflateRawSync } from "node:zlib";
import { MessageInflater } from "../src/deflate/message_inflater.ts";
import { ProtocolError } from "../src/protocol/protocol_error.ts";
import { join, sameBytes } from "../tests/support/bytes.ts";
import { finding, same, type Target } from "./target.ts";

const LIMIT = 20_000;

/** Inflates a message in pieces: its bytes, or the code of the failure. */
async function inflate(pieces: Uint8Array[], takeover: boolean): Promise<Uint8Array | number> {
  let result: Uint8Array | null = null;
  const inflater = new MessageInflater({ windowBits: 15, takeover, maxMessageSize: LIMIT }, {
    inflatedMessage: (data) => void (result = data as Uint8Array),
  });
  try {
    for (const [i, piece] of pieces.entries()) {
      await new Promise<void>((resolve, reject) => {
        const done = (error: unknown) => error === null ? resolve() : reject(error);
        const last = i === pieces.length - 1;
        if (inflater.push(false, piece, 0, piece.length, last, done)) resolve();
      });
      if (inflater.buffered > LIMIT + 1) finding(`${inflater.buffered} bytes are kept`);
    }
    return result ?? finding("no message and no error");
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return error.closeCode;
  } finally {
    inflater.close();
  }
}

/** The first byte says whether the rest is as a compressor made it, the second how long the plain data are. */
export const inflater: Target = {
  name: "inflater",
  make(random) {
    const word = random.bytes(1 + random.below(50));
    const data = join(
      Array.from(
        { length: random.below(60) },
        () => random.oneIn(3) ? random.bytes(random.below(100)) : word,
      ),
    );
    const plain = random.oneIn(20) ? new Uint8Array(random.below(3 * LIMIT)) : data;
    const packed = new Uint8Array(deflateRawSync(plain, {
      level: random.below(10),
      memLevel: 1 + random.below(9),
      windowBits: 9 + random.below(7),
      strategy: random.below(5),
      finishFlush: random.oneIn(5) ? constants.Z_FINISH : constants.Z_SYNC_FLUSH,
    }));
    const body = packed.slice(0, random.oneIn(5) ? packed.length : Math.max(0, packed.length - 4));
    return random.oneIn(3) ? body : random.mutate(body);
  },
  async judge(input, random) {
    const whole = await inflate([input], true);
    for (const takeover of [true, false]) {
      for (const pieces of [random.split(input), [...random.split(input), new Uint8Array(0)]]) {
        const cut = await inflate(pieces.length === 0 ? [input] : pieces, takeover);
        if (typeof whole === "number" || typeof cut === "number") {
          // For corrupt data beyond the limit, either error may come first.
          const failed = typeof whole === "number" && typeof cut === "number";
          if (!failed) same(String(whole).slice(0, 100), String(cut).slice(0, 100), "cut differs");
          if (failed && whole !== cut && !(whole + cut === 1007 + 1009)) finding(`${whole} ${cut}`);
        } else if (!sameBytes(whole, cut)) finding("cut differently, it inflates to other bytes");
      }
    }
    if (typeof whole !== "number" && whole.length > LIMIT) {
      finding(`${whole.length} bytes came out`);
    }
  },
};
