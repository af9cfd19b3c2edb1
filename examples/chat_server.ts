/**
 * A chat: each message goes to all other clients. A client that doesn't keep up misses messages instead of filling
 * memory.
 *
 *     deno run --allow-net examples/chat_server.ts [--port N] [--hostname H]
 *
 * Try it: start it with `--port 8080`, then in two terminals `sluice connect "ws://127.0.0.1:8080/?name=Ann"` and
 * `sluice connect "ws://127.0.0.1:8080/?name=Bob"`, and type.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type Connection, Context } from "@sluice/websocket";

interface Member {
  name: string;
  missed: number;
}

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "hostname": { type: "string", default: "127.0.0.1" },
    "port": { type: "string", default: "0" },
  },
});

const ctx = new Context<Member>();
const listener = ctx.listen({
  hostname: args.hostname,
  port: Number(args.port),
  maxMessageSize: 4096,
  onHandshake(request) {
    const name = new URL(request.url).searchParams.get("name");
    if (!name) return new Response("Say who you are: ?name=…\n", { status: 400 });
    return { data: { name, missed: 0 } };
  },
  onConnect(conn) {
    say(conn, `${conn.data.name} has joined`);
  },
  onMessage(conn, data) {
    if (typeof data === "string") say(conn, `${conn.data.name}: ${data}`);
    else conn.close(1003, "text only");
  },
  onDrain(conn) {
    if (conn.data.missed > 0) conn.send(`(you have missed ${conn.data.missed} messages)`);
    conn.data.missed = 0;
  },
  onClose(conn) {
    say(conn, `${conn.data.name} has left`);
  },
});
console.log(`listening on ws://${listener.hostname}:${listener.port}/`);

/** Sends a text to all clients but its sender. */
function say(from: Connection<Member>, text: string): void {
  for (const conn of listener.connections) {
    if (conn === from || conn.state !== "open") continue;
    if (conn.queuedBytes > 64 * 1024) conn.data.missed++;
    else conn.send(text);
  }
}
