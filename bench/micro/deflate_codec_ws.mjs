// What permessage-deflate of `ws` costs by itself, as deflate_codec.ts measures ours. Needs `ws` where
// Node finds it: WS_DIR names its directory.
import { createRequire } from "node:module";
import { feed } from "../feed.mjs";

const require = createRequire(import.meta.url);
const root = process.env.WS_DIR ?? "ws";
const PerMessageDeflate = require(`${root}/lib/permessage-deflate.js`);
const level = Number(process.argv[2] ?? 6);
for (const takeover of [true, false]) {
  for (const size of [128, 1024, 16384, 1 << 20]) {
    const messages = feed(size);
    const rounds = Math.max(messages.length, Math.min(40_000, Math.floor(30e6 / size)));
    const options = { zlibDeflateOptions: { level, memLevel: 8 }, threshold: 0 };
    const make = (isServer) => {
      const codec = new PerMessageDeflate({ ...options, isServer, maxPayload: 0 });
      const params = takeover ? {} : {
        server_no_context_takeover: [true],
        client_no_context_takeover: [true],
      };
      codec.accept([params]);
      return codec;
    };
    const server = make(true), client = make(false);
    let wire = 0, started = 0;
    // As a connection does: many messages are on their way, each in its turn.
    await new Promise((resolve) => {
      let sent = -rounds, received = -rounds;
      const inflated = (error) => {
        if (error) throw error;
        received++;
        if (received === 0) started = performance.now();
        if (received === rounds) resolve();
        else if (sent < rounds) send();
      };
      const deflated = (error, packed) => {
        if (error) throw error;
        if (received >= 0) wire += packed.length;
        client.decompress(packed, true, inflated);
      };
      const send = () => {
        const message = messages[(sent++ + rounds) % messages.length];
        server.compress(message, true, deflated);
      };
      // ws runs the messages of one connection one after the other.
      send();
    });
    const took = performance.now() - started;
    console.log(
      `${String(size).padStart(8)} B, takeover ${String(takeover).padEnd(5)} ${
        (took * 1000 / rounds).toFixed(1).padStart(9)
      } µs, ${(wire / rounds).toFixed(0).padStart(7)} B on the wire`,
    );
    server.cleanup();
    client.cleanup();
  }
}
