// Measures what the codec costs by itself, without sockets: time per message, compressed and inflated again.
//
//     deno run -A bench/micro/deflate_codec.ts [level]
//
// The same measurement of `ws` on Node: node bench/micro/deflate_codec_ws.mjs [level]
import { Deflater } from "../../src/deflate/deflater.ts";
import { Inflater } from "../../src/deflate/inflater.ts";
import { CompressedFrame } from "../../src/deflate/compressed_frame.ts";
import { feed } from "../feed.mjs";

const level = Number(Deno.args[0] ?? 6);
for (const takeover of [true, false]) {
  for (const size of [128, 1024, 16384, 1 << 20]) {
    const messages = feed(size);
    const rounds = Math.max(messages.length, Math.min(40_000, Math.floor(30e6 / size)));
    const deflater = new Deflater({ windowBits: 15, takeover, memLevel: 8, level });
    let received = 0;
    const inflater = new Inflater({ windowBits: 15, takeover, maxMessageSize: 0 }, {
      room: Infinity,
      inflated(_source, _start, _end, last) {
        if (last) received++;
      },
    });
    let wire = 0, started = 0;
    const push = (bytes: Uint8Array): Promise<void> | void => {
      const turns = Promise.withResolvers<void>();
      if (!inflater.push(bytes, 0, bytes.length, true, () => turns.resolve())) return turns.promise;
    };
    for (let i = -rounds; i < rounds; i++) {
      if (i === 0) started = performance.now();
      const message = messages[(i + rounds) % messages.length];
      if (size <= 65536) {
        const packed = deflater.deflate(message, true);
        if (i >= 0) wire += packed.length;
        await push(packed);
      } else {
        const pieces = await new Promise<Uint8Array[]>((resolve) => {
          const frame = new CompressedFrame(message.length, null);
          deflater.deflateInTurns(message, true, frame, () => resolve(frame.payload()));
        });
        for (const piece of pieces) {
          if (i >= 0) wire += piece.length;
          await new Promise<void>((resolve) => {
            if (inflater.push(piece, 0, piece.length, false, () => resolve())) resolve();
          });
        }
        await push(new Uint8Array(0));
      }
    }
    const took = performance.now() - started;
    if (received !== rounds * 2) throw new Error(`${received} of ${rounds * 2} messages arrived`);
    deflater.close();
    inflater.close();
    console.log(
      `${String(size).padStart(8)} B, takeover ${String(takeover).padEnd(5)} ${
        (took * 1000 / rounds).toFixed(1).padStart(9)
      } µs, ${(wire / rounds).toFixed(0).padStart(7)} B on the wire`,
    );
  }
}
