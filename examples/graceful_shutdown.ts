/**
 * A server that says goodbye: on SIGINT or SIGTERM it sends last words, closes every connection with 1001 and ends.
 *
 *     deno run --allow-net examples/graceful_shutdown.ts [--port N]
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { Context } from "../mod.ts";

const { port } = parseArgs(Deno.args, { string: ["port"], default: { port: "0" } });

const ctx = new Context();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  port: Number(port),
  onMessage: (conn, data) => conn.send(data),
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
  const { clean, terminated } = await ctx.shutdown({ reason: "restart", timeout: 5000 });
  console.log(`closed ${clean} cleanly, ${terminated} by force`);
};
const SIGNALS = ["SIGINT", "SIGTERM"] as const;
for (const signal of SIGNALS) Deno.addSignalListener(signal, stop);
await listener.finished;
