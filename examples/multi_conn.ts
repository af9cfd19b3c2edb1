/**
 * Several connections in one context, each with a name in its `data`.
 *
 *     deno run --allow-net examples/multi_conn.ts [--connections N]
 *
 * @module
 */
import { parseArgs } from "node:util";
import { Context } from "@sluice/websocket";

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "connections": { type: "string", default: "5" },
  },
});

await using ctx = new Context();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  onMessage: (conn, data) => conn.send(`hello ${data}`),
});

const greetings = Array.from({ length: Number(args.connections) }, async (_, i) => {
  const conn = ctx.connect(listener.url, { data: `client ${i + 1}` });
  await conn.opened;
  conn.send(conn.data);
  return await conn.receive();
});
for (const greeting of await Promise.all(greetings)) console.log(greeting);
console.log(`${ctx.connections.size} connections, ${listener.connections.size} of them accepted`);
