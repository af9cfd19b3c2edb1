/**
 * Sends each message of a client to all clients. With `--stdin`, also sends the lines typed at the server.
 *
 *     deno run --allow-net examples/broadcast_echo.ts [--port N] [--stdin]
 *
 * Try it: without a port it shows itself at work and ends; or start it with `--port 8080 --stdin`, then
 * `sluice connect ws://127.0.0.1:8080` in several terminals.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type Connection, Context, type ReceivedMessage } from "@sluice/websocket";

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "port": { type: "string" },
    "stdin": { type: "boolean" },
  },
});
const ctx = new Context();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  port: Number(args.port ?? 0),
  onMessage: (_conn, data) => say(data),
});

function say(data: ReceivedMessage): void {
  for (const conn of listener.connections) if (conn.state === "open") conn.send(data);
}

if (args.port !== undefined) console.log(`listening on ${listener.url}`);

if (args.stdin) {
  // Another stream in the same program: each line is sent before the next one is read.
  ctx.watchReadable(Deno.stdin.readable.pipeThrough(new TextDecoderStream()), (text) => {
    const line = text.trim();
    if (line === "quit") ctx.shutdown();
    else say(line);
  });
} else if (args.port === undefined) {
  const names = ["ada", "bob", "eve"];
  const conns: Connection[] = names.map(() => ctx.connect(listener.url));
  await Promise.all(conns.map((conn) => conn.opened));
  conns[0].send("hello from ada");
  for (const [i, conn] of conns.entries()) console.log(`${names[i]} heard ${await conn.receive()}`);
  await ctx.shutdown();
}
