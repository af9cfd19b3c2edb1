/**
 * Keepalive: the server pings silent peers, keeps those that answer, and disconnects those that don't.
 *
 *     deno run --allow-net examples/keepalive.ts
 *
 * @module
 */
import { Context } from "@sluice/websocket";

await using ctx = new Context();
const gone = Promise.withResolvers<void>();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  // In production: 20 s and 20 s, the defaults of a listener.
  keepAlive: { interval: 30, timeout: 60 },
  onPong: (conn) => console.log(`server: ${conn.url} lives`),
  onClose(conn, close) {
    console.log(`server: ${conn.url} is gone: ${(close.cause as Error).message}`);
    gone.resolve();
  },
  onError: () => {},
});

// A normal peer: it answers pings by itself, and measures a ping of its own.
const alive = ctx.connect(`${listener.url}alive`);
await alive.opened;
await alive.ping();
console.log("client: a round trip was measured");

// A peer that vanishes: it completes the handshake, and then sends nothing.
using dead = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
await dead.write(
  new TextEncoder().encode(
    "GET /dead HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
  ),
);
await gone.promise;
console.log(`the other one is ${alive.state}`);
