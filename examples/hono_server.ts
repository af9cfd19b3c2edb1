/**
 * An application of Hono whose routes and middleware decide about upgrades, on a listener's own port: full connections
 * with backpressure, compression and pings, over HTTP/1.1 and HTTP/2.
 *
 *     deno run --allow-net examples/hono_server.ts [--port N] [--hostname H]
 *
 * It needs Hono: `deno add npm:hono`. Try it: start it with `--port 8080`, then
 *
 *     curl http://127.0.0.1:8080/
 *     sluice connect "ws://127.0.0.1:8080/rooms/blue"                    # 401, by the middleware
 *     sluice connect "ws://127.0.0.1:8080/rooms/blue" -H "Authorization: Bearer s3cret"
 *
 * Run the last command twice: each client gets the messages of the other.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { Hono } from "hono";
import { Context } from "@sluice/websocket";
import { upgradeWebSocket } from "@sluice/websocket/hono";

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "hostname": { type: "string", default: "127.0.0.1" },
    "port": { type: "string", default: "0" },
  },
});

const ctx = new Context();
const app = new Hono();

app.get("/", (c) => c.text(`${ctx.connections.size} connections\n`));

app.use("/rooms/*", async (c, next) => {
  if (c.req.header("authorization") !== "Bearer s3cret") return c.text("log in first\n", 401);
  await next();
});

app.get(
  "/rooms/:room",
  upgradeWebSocket(ctx, (c) => {
    const room: string = c.req.param("room");
    return {
      onOpen: (_event, ws) => void ws.raw!.subscribe(room),
      // `raw` is the connection, with everything it has.
      onMessage: (event, ws) => void ws.raw!.publish(room, event.data, { slow: "drop" }),
    };
  }),
);

const listener = ctx.listen({
  hostname: args.hostname,
  port: Number(args.port),
  handler: (request) => app.fetch(request),
  upgrades: "handler",
  compression: true,
});
console.log(`listening on ${listener.url}`);
