/**
 * Flow control: a server streams 200 chunks to a client that reads slowly. The server sends only while `send` returns true,
 * and continues in `onDrain`, so its queue stays small however slow the client is.
 *
 *     deno run --allow-net examples/backpressure.ts
 *
 * @module
 */
import { type Connection, Context } from "@sluice/websocket";

const CHUNKS = 200;
const CHUNK = 64 * 1024;

let sent = 0, stops = 0, highest = 0;

function pump(conn: Connection): void {
  while (sent < CHUNKS) {
    const more = conn.send(new Uint8Array(CHUNK).fill(sent++));
    highest = Math.max(highest, conn.queuedBytes);
    if (!more) {
      stops++;
      return;
    }
  }
  conn.close();
}

await using ctx = new Context();
const listener = ctx.listen({ hostname: "127.0.0.1", port: 0, onConnect: pump, onDrain: pump });
const conn = ctx.connect(listener.url);

let received = 0;
for await (const chunk of conn) {
  if (chunk.length !== CHUNK || (chunk as Uint8Array)[0] !== received) {
    throw new Error(`Chunk ${received} is not what was sent`);
  }
  received++;
  // A slow reader: while the client awaits nothing from `conn`, TCP holds the server back.
  await new Promise((resolve) => setTimeout(resolve, 2));
}

console.log(`received ${received} chunks of ${CHUNK} bytes, in order`);
console.log(`the server stopped ${stops} times and went on from onDrain`);
console.log(`most bytes queued: ${highest}`);
