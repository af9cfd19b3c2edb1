/**
 * A server that sends the time to all clients, every second.
 *
 *     deno run --allow-net examples/clock_broadcast.ts [--port N] [--interval MS] [--ticks N]
 *
 * Try it: with `--ticks 3` it connects to itself and ends after three ticks; or start it with `--port 8080`, then
 * `sluice connect ws://127.0.0.1:8080`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { Context } from "@sluice/websocket";

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "port": { type: "string", default: "0" },
    "interval": { type: "string", default: "1000" },
    "ticks": { type: "string", default: "0" },
  },
});

const ctx = new Context();
let count = 0;
const listener = ctx.listen({
  hostname: "127.0.0.1",
  port: Number(args.port),
  tickInterval: Number(args.interval),
  onTick(listener) {
    if (listener.connections.size === 0) return;
    const text = `${++count} ${new Date().toISOString()}`;
    for (const conn of listener.connections) {
      // A client that doesn't keep up misses a tick, and costs no memory.
      if (conn.state === "open" && conn.queuedBytes === 0) conn.send(text);
    }
  },
});
console.log(`listening on ${listener.url}`);

const ticks = Number(args.ticks);
if (ticks > 0) {
  const conn = ctx.connect(listener.url);
  let seen = 0;
  for await (const text of conn) {
    console.log(text);
    if (++seen === ticks) break;
  }
  await ctx.shutdown();
}
