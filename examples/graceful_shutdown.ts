/**
 * A server that shuts down in order: on SIGINT or SIGTERM it sends a last message, closes every connection with 1001
 * and ends.
 *
 *     deno run --allow-net examples/graceful_shutdown.ts [--port N] [--timeout MS]
 *
 * Try it: start it with `--port 8080`, connect with `sluice connect ws://127.0.0.1:8080`, then press Ctrl-C here.
 *
 * The exit code is 0 if every connection was closed cleanly, and so got all that was sent to it; 1 if some had to be
 * terminated, and then it prints how much they didn't get. A second signal ends it at once, as if it had no handler.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { Context } from "@sluice/websocket";

const { values: { port, timeout } } = parseArgs({
  args: Deno.args,
  options: {
    "port": { type: "string", default: "0" },
    "timeout": { type: "string", default: "5000" },
  },
});

const ctx = new Context();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  port: Number(port),
  onMessage: (conn, data) => conn.send(data),
  onClose(_conn, { wasClean, unsentMessages, unsentBytes }) {
    if (!wasClean && unsentMessages > 0) {
      console.log(`${unsentMessages} messages were not sent, ${unsentBytes} bytes of them`);
    }
  },
  // Connections are still open here, and stay so until the promise settles.
  async onShutdown(listener) {
    const drained = [...listener.connections].map((conn) => {
      conn.send("the server is going away");
      return conn.drained();
    });
    await Promise.allSettled(drained);
  },
});
console.log(`listening on ${listener.url}`);

const stop = async () => {
  for (const signal of SIGNALS) Deno.removeSignalListener(signal, stop);
  const { clean, terminated } = await ctx.shutdown({
    reason: "restart",
    timeout: Number(timeout),
  });
  console.log(`closed ${clean} cleanly, ${terminated} by force`);
  Deno.exitCode = terminated === 0 ? 0 : 1;
};
const SIGNALS = ["SIGINT", "SIGTERM"] as const;
for (const signal of SIGNALS) Deno.addSignalListener(signal, stop);
await listener.finished;
