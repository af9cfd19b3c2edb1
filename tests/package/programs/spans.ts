/** Handshakes and connections with tracing: accepted, refused, with a foreign `traceparent`. Prints the sent headers. */
import { trace } from "@opentelemetry/api";
import { Context } from "../../../mod.ts";
import { instrument } from "../../../otel.ts";

await using ctx = new Context();
using metrics = instrument(ctx, { attributes: { server: "test" } });
const listener = ctx.listen({
  hostname: "127.0.0.1",
  onHandshake: (request) => !request.url.endsWith("/no"),
  onMessage(conn, data) {
    conn.send(`${data} ${conn.request!.headers.get("traceparent")}`);
  },
});
async function visit(path: string, headers: Record<string, string> = {}) {
  const conn = ctx.connect(`${listener.url}${path}`, { headers, onError: () => {} });
  await conn.opened;
  conn.send("seen");
  const said = await conn.receive();
  const own = metrics.spanOf(conn)?.spanContext().spanId ?? "none";
  conn.close(3001);
  await conn.closed;
  console.log(`${path} ${said} ${own}`);
}
await trace.getTracer("program").startActiveSpan("outer", async (span) => {
  await visit("plain?token=secret");
  span.end();
});
await visit("foreign", { traceparent: "00-11111111111111111111111111111111-2222222222222222-01" });
const refused = ctx.connect(`${listener.url}no`, { onError: () => {} });
await refused.closed;
if (!Deno.args.includes("--once")) { for await (const _ of Deno.stdin.readable); }
