/**
 * A handler for each path: `/echo`, `/upper`, `/rooms/NAME`; `/secret` is refused, and others are not found.
 *
 *     deno run --allow-net examples/router.ts [--port N]
 *
 * Try it: without a port it shows itself at work and ends; or start it with `--port 8080`, then
 * `sluice connect ws://127.0.0.1:8080/upper`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import {
  type Connection,
  Context,
  type HandshakeError,
  type ReceivedMessage,
} from "@sluice/websocket";

interface Route {
  handle(conn: Connection<Route>, data: ReceivedMessage): unknown;
  room?: string;
}

const ROUTES: [URLPattern, (groups: Record<string, string | undefined>) => Route][] = [
  [new URLPattern({ pathname: "/echo" }), () => ({ handle: (conn, data) => conn.send(data) })],
  [
    new URLPattern({ pathname: "/upper" }),
    () => ({ handle: (conn, data) => conn.send(String(data).toUpperCase()) }),
  ],
  [
    new URLPattern({ pathname: "/rooms/:name" }),
    ({ name }) => ({
      room: name,
      handle(conn, data) {
        for (const other of conn.listener!.connections) {
          if (other.data.room === name) other.send(`${name}: ${data}`);
        }
      },
    }),
  ],
];

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "port": { type: "string" },
  },
});
const ctx = new Context();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  port: Number(args.port ?? 0),
  onHandshake(request) {
    if (new URL(request.url).pathname === "/secret") return false;
    for (const [pattern, make] of ROUTES) {
      const match = pattern.exec(request.url);
      if (match) return { data: make(match.pathname.groups) };
    }
    return new Response("no such path", { status: 404 });
  },
  onMessage: (conn, data) => conn.data.handle(conn, data),
});

if (args.port !== undefined) {
  console.log(`listening on ${listener.url}`);
} else {
  for (const path of ["echo", "upper", "rooms/blue", "secret", "elsewhere"]) {
    const conn = ctx.connect(listener.url + path, { onError: () => {} });
    try {
      await conn.opened;
      conn.send("hello");
      console.log(`/${path}: ${await conn.receive()}`);
    } catch (error) {
      console.log(`/${path}: refused with ${(error as HandshakeError).status}`);
    }
  }
  await ctx.shutdown();
}
