/**
 * A WebSocket proxy: each client gets a connection of its own to the server, with backpressure on both legs. A
 * leg that takes messages more slowly than they come holds the other one back, so nothing piles up here.
 *
 *     deno run --allow-net examples/relay.ts [--port N --upstream URL]
 *
 * Try it: without an upstream it shows itself at work and ends; or start it with
 * `--port 9000 --upstream ws://127.0.0.1:8080` in front of any server, then `sluice connect ws://127.0.0.1:9000`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type Connection, type ConnectionHandlers, Context } from "@sluice/websocket";

/** Passes the messages and the close of one leg on to the other. */
function leg(other: () => Connection): ConnectionHandlers {
  return {
    onMessage: (conn, data) => {
      // If the other leg has closed by now, the message can't be passed on.
      if (other().state === "open" && !other().send(data)) conn.pause();
    },
    onClose(_conn, { code, reason }) {
      // 1005 and 1006 mean that no code came, and can't be sent.
      if (code === 1005) other().close();
      else if (code === 1006 || code === 1015) other().close(1011);
      else other().close(code, reason);
    },
    onError: () => {},
  };
}

/** Starts the relay. */
function relay(ctx: Context, port: number, upstream: string) {
  return ctx.listen({
    hostname: "127.0.0.1",
    port,
    async onConnect(client) {
      const server: Connection = ctx.connect(upstream, {
        ...leg(() => client),
        // There is room again: deliver the messages that were held back.
        onDrain: () => client.resume(),
      });
      client.on({ ...leg(() => server), onDrain: () => server.resume() });
      // Messages of the client wait until then: none is delivered before this promise has settled.
      await server.opened.catch(() => client.close(1014, "no upstream"));
    },
  });
}

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "port": { type: "string", default: "0" },
    "upstream": { type: "string" },
  },
});
const ctx = new Context();
if (args.upstream !== undefined) {
  console.log(`listening on ${relay(ctx, Number(args.port), args.upstream).url}`);
} else {
  const echo = ctx.listen({
    hostname: "127.0.0.1",
    onMessage: (conn, data) => conn.send(data),
  });
  const front = relay(ctx, 0, echo.url);
  const conn = ctx.connect(front.url);
  await conn.opened;
  conn.send("through two connections");
  console.log(`received ${await conn.receive()}`);
  let most = 0;
  for (let i = 0; i < 400; i++) {
    if (!conn.send(new Uint8Array(64 * 1024))) await conn.receive();
    for (const other of front.connections) most = Math.max(most, other.queuedBytes);
  }
  console.log(`at most ${most <= 128 * 1024 ? "two messages" : `${most} bytes`} waited in between`);
  conn.close(4000, "enough");
  for (const [server] of [[...echo.connections]]) {
    console.log(`the upstream got code ${(await server.closed).code}`);
  }
  await ctx.shutdown();
}
