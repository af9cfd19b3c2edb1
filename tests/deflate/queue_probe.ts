// The memory of a full queue of small messages: queue_probe.ts ROLE COMPRESS SIZE MAX. A long message comes first, so that the
// others wait until it is compressed. Prints JSON: resident bytes per connection in addition to those with an empty queue, with
// all messages waiting, and with all of them compressed.
import { type Connection, Context, QueueFullError } from "../../mod.ts";
import { workQueue } from "../../src/deflate/work_queue.ts";
import { rawListener, RawPeer, urlOf } from "../support/raw_peer.ts";
import { json, offering } from "./helpers.ts";

const [role, compress, size, max] = Deno.args;
const COUNT = 3;
const LONG = 100_000;
const options = {
  compression: { threshold: 0 },
  maxQueueBytes: Number(max) + LONG,
  keepAlive: false,
  onError: () => {},
} as const;

const collect = (globalThis as unknown as { gc(): void }).gc;
const rss = () => {
  collect();
  collect();
  return Deno.memoryUsage().rss;
};

async function connections(ctx: Context): Promise<[Connection, RawPeer][]> {
  const pairs: [Connection, RawPeer][] = [];
  const accepted: Connection[] = [];
  const port = role !== "server" ? 0 : ctx.listen({
    hostname: "127.0.0.1",
    ...options,
    onConnect: (conn) => void accepted.push(conn),
  })
    .port;
  using listener = rawListener();
  for (let i = 0; i <= COUNT; i++) {
    if (role === "server") {
      const peer = await RawPeer.connect(port, offering("permessage-deflate"));
      pairs.push([accepted[i], peer]);
    } else {
      const conn = ctx.connect(urlOf(listener), options);
      const lines = ["Sec-WebSocket-Extensions: permessage-deflate"];
      const peer = await RawPeer.accept(listener, { lines });
      await conn.opened;
      pairs.push([conn, peer]);
    }
    if (pairs[i][0].extensions === "") throw new Error("Not compressed");
  }
  return pairs;
}

function fill(conn: Connection): number {
  const message = json(Number(size)), wish = { compress: compress === "true" };
  let count = 0;
  try {
    for (;; count++) conn.send(message, wish);
  } catch (error) {
    if (!(error instanceof QueueFullError)) throw error;
  }
  return count;
}

const rested = async () => {
  do await new Promise((resolve) => setTimeout(resolve, 1)); while (workQueue.size > 0);
};

await using ctx = new Context();
const pairs = await connections(ctx);
// A first round, so that contexts, code and heap are allocated.
for (const [conn] of pairs) conn.send(json(LONG));
await rested();
const [[warm, warmPeer]] = pairs.splice(0, 1);
warm.pauseSending();
warm.send(json(LONG));
fill(warm);
await rested();
warm.terminate();
warmPeer.close();
await warm.closed;
for (const [conn, peer] of pairs) {
  await peer.frame();
  conn.pauseSending();
}
const before = rss();
const counts: number[] = [];
for (const [conn] of pairs) {
  if (compress === "true") conn.send(json(LONG));
  counts.push(fill(conn));
}
const waiting = (rss() - before) / COUNT;
await rested();
const compressed = (rss() - before) / COUNT;
const { queuedBytes, queuedMessages } = pairs[0][0];
console.log(JSON.stringify({ waiting, compressed, counts, queuedBytes, queuedMessages }));
for (const [conn, peer] of pairs) {
  conn.terminate();
  peer.close();
}
