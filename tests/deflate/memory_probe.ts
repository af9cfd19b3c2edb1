// Measures in a process of its own, since resident memory is that of the whole process, and tests run in parallel:
// memory_probe.ts NAME. Prints JSON.

import { Context } from "../../mod.ts";
import { Deflater } from "../../src/deflate/deflater.ts";
import { Inflater } from "../../src/deflate/inflater.ts";
import { compressed } from "../support/deflate.ts";
import { json, offering, TAKEOVER } from "./helpers.ts";
import { frameOf } from "../support/frames.ts";
import { RawPeer } from "../support/raw_peer.ts";

const HELLO = Uint8Array.of(0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00);
const NOWHERE = { room: Infinity, inflated() {} };
const COUNT = 200;

const rss = () => Deno.memoryUsage().rss;

/** 10 MiB of zeros in 10 KiB. */
function bomb(): Uint8Array {
  return compressed(new Uint8Array(10 << 20), 9);
}

function inflaterOf(takeover: boolean): Inflater {
  return new Inflater({ windowBits: 15, takeover, maxMessageSize: 1 << 20 }, NOWHERE);
}

/** Codecs that were used once. */
async function used(takeover: boolean, count = COUNT): Promise<{ close(): void }[]> {
  const codecs: { close(): void }[] = [];
  const message = json(2000);
  for (let i = 0; i < count; i++) {
    const deflater = new Deflater({ ...TAKEOVER, takeover }), inflater = inflaterOf(takeover);
    const packed = deflater.deflate(message, true);
    await new Promise<void>((resolve) => {
      if (inflater.push(packed, 0, packed.length, true, () => resolve())) resolve();
    });
    codecs.push(deflater, inflater);
  }
  return codecs;
}

const probes: Record<string, () => unknown> = {
  /** A server with a limit of 1 MiB gets a bomb, in one frame and in five. */
  async bomb() {
    await using ctx = new Context();
    let messages = 0;
    const listener = ctx.listen({
      port: 0,
      compression: true,
      onMessage: () => void messages++,
      onError: () => {},
    });
    const packed = bomb();
    using warm = await RawPeer.connect(listener.port, offering("permessage-deflate"));
    await warm.send(frameOf(0xc1, HELLO));
    await warm.send(frameOf(0x89, HELLO));
    await warm.frame();
    // The memory of the peer itself is allocated before: its frames, and a reader that was used.
    const inputs = [1, 5].map((fragments) => {
      const size = Math.ceil(packed.length / fragments);
      return warm.encode(...Array.from({ length: fragments }, (_, i) => {
        const first = (i === 0 ? 0x42 : 0) | (i === fragments - 1 ? 0x80 : 0);
        return frameOf(first, packed.subarray(i * size, i * size + size));
      }));
    });
    const peers = [];
    for (const _ of inputs) {
      peers.push(await RawPeer.connect(listener.port, offering("permessage-deflate")));
    }
    const codes: (number | null)[] = [];
    const before = rss();
    for (const [i, input] of inputs.entries()) {
      using peer = peers[i];
      await peer.write(input);
      codes.push(await peer.closeCode());
    }
    return { length: packed.length, codes, messages, grown: rss() - before };
  },

  /** Fifty inflaters get a bomb each, at the same time. */
  async bombs() {
    const packed = bomb();
    const before = rss();
    const codes = await Promise.all(
      Array.from({ length: 50 }, () =>
        new Promise<number>((resolve) => {
          const failed = (error: unknown) => {
            codec.close();
            resolve((error as { closeCode: number }).closeCode);
          };
          const codec = inflaterOf(true);
          try {
            codec.push(packed, 0, packed.length, true, failed);
          } catch (error) {
            failed(error);
          }
        })),
    );
    return { codes: [...new Set(codes)], grown: rss() - before };
  },

  /** Codecs that were never used. */
  unused() {
    const before = rss();
    const codecs: { close(): void }[] = [];
    for (let i = 0; i < COUNT * 10; i++) codecs.push(new Deflater(TAKEOVER), inflaterOf(true));
    const grown = rss() - before;
    for (const codec of codecs) codec.close();
    return { grown };
  },

  /** Eight times as many codecs, one after the other. */
  async closed() {
    const before = rss();
    let once = 0;
    for (let round = 0; round < 8; round++) {
      const codecs = await used(true);
      if (round === 0) once = rss() - before;
      for (const codec of codecs) codec.close();
    }
    return { once, grown: rss() - before };
  },

  /** Codecs without takeover, between messages. */
  async forgetful() {
    // The memory of compiled code, and of the compiler, is allocated before, with one pair after the other.
    for (let i = 0; i < 2 * COUNT; i++) for (const codec of await used(false, 1)) codec.close();
    const before = rss();
    const codecs = await used(false);
    const grown = rss() - before;
    for (const codec of codecs) codec.close();
    return { grown };
  },
};

console.log(JSON.stringify(await probes[Deno.args[0]]()));
