/**
 * A request and response protocol in JSON, with errors for invalid requests.
 *
 *     deno run --allow-net examples/json_protocol.ts
 *
 * @module
 */
import { type Connection, Context, type ReceivedMessage } from "@sluice/websocket";

const commands: Record<string, (args: unknown[]) => unknown> = {
  add: (args) => (args as number[]).reduce((sum, n) => sum + n, 0),
  echo: (args) => args,
};

function answer(conn: Connection, data: ReceivedMessage): void {
  let id: unknown = null;
  try {
    if (typeof data !== "string") throw new TypeError("text only");
    const message = JSON.parse(data);
    id = message.id ?? null;
    // Own members only: every object inherits "constructor".
    if (!Object.hasOwn(commands, message.command)) throw new Error("no such command");
    conn.send(JSON.stringify({ id, result: commands[message.command](message.args ?? []) }));
  } catch (error) {
    const why = error instanceof SyntaxError ? "not JSON" : (error as Error).message;
    conn.send(JSON.stringify({ id, error: why }));
  }
}

await using ctx = new Context();
const listener = ctx.listen({ hostname: "127.0.0.1", onMessage: answer });
const conn = ctx.connect(listener.url);
await conn.opened;
for (
  const request of [
    JSON.stringify({ id: 1, command: "add", args: [1, 2, 39] }),
    JSON.stringify({ id: 2, command: "constructor" }),
    "{ nonsense",
  ]
) {
  conn.send(request);
  console.log(`asked ${request}, answered ${await conn.receive()}`);
}
