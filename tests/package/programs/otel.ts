/** Measures some traffic, and then waits for the end of standard input, unless the argument is `--once`. */
import { Context } from "../../../mod.ts";
import { instrument } from "../../../otel.ts";

await using ctx = new Context();
using metrics = instrument(ctx, { attributes: { server: "test" } });
const listener = ctx.listen({
  hostname: "127.0.0.1",
  onMessage: (conn, data) => conn.send(data),
});
const conn = ctx.connect(listener.url, metrics.handlers);
await conn.opened;
for (let i = 0; i < 10; i++) {
  conn.send("hello");
  await conn.receive();
}
await conn.ping();
conn.close();
await conn.closed;
if (!Deno.args.includes("--once")) { for await (const _ of Deno.stdin.readable); }
