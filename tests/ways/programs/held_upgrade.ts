// The memory that a held connection of `upgrade` needs for small messages: held_upgrade.ts SIZE MAX_HELD. Prints JSON: resident
// bytes per megabyte of the limit, the number of messages that arrived, and the time of resuming in ms.
import { type Connection, Context } from "../../../mod.ts";
import { BINARY, frame } from "../../support/frames.ts";
import { RawPeer } from "../../support/raw_peer.ts";
import { until } from "../../support/until.ts";

const [size, maxHeldBytes] = Deno.args.map(Number);
const OVERHEAD = 64;
const collect = (globalThis as unknown as { gc(): void }).gc;
const rss = () => {
  collect();
  return Deno.memoryUsage().rss;
};

await using ctx = new Context();
let got = 0, bytes = 0;
const accepted = Promise.withResolvers<Connection>();
const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
  const { response, connection } = ctx.upgrade(request, {
    maxHeldBytes,
    onMessage: (_conn, data) => {
      got++;
      bytes += data.length;
    },
  });
  accepted.resolve(connection);
  return response;
});
const peer = await RawPeer.connect(server.addr.port);
const conn = await accepted.promise;
await conn.opened;
// As many as the limit allows, less those that the connection itself may read ahead.
const count = Math.floor(maxHeldBytes / (size + OVERHEAD));
const batch = peer.encode(
  ...Array.from({ length: 100 }, () => frame(BINARY, new Uint8Array(size))),
);
await peer.write(batch);
await until(() => got === 100);
conn.pause();
const before = rss();
const rounds = Math.floor(count / 100);
for (let i = 0; i < rounds; i++) await peer.write(batch);
// The runtime answers the peer's pings: the pong shows that all messages before have arrived.
await peer.send(frame(9, "all"));
await peer.next(10);
const grown = rss() - before;
const start = performance.now();
conn.resume();
await until(() => got === 100 + rounds * 100 || conn.state !== "open");
const took = performance.now() - start;
console.log(
  JSON.stringify({ grown, got: got - 100, sent: rounds * 100, bytes, took, state: conn.state }),
);
conn.terminate();
peer.close();
await server.shutdown();
