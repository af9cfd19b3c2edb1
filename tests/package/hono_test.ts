import { assert, assertEquals } from "@std/assert";
import { Hono } from "hono";
import { upgradeWebSocket } from "../../hono.ts";
import { type Connection, Context } from "../../mod.ts";
import { EventLog } from "../support/event_log.ts";
import { failure } from "../support/failure.ts";
import { Http2Peer } from "../support/http2_peer.ts";
import { TEXT } from "../support/frames.ts";
import { utf8 } from "../support/bytes.ts";

/** An application with a middleware in front of its route. */
function application(ctx: Context) {
  const events = new EventLog<unknown[]>();
  const app = new Hono();
  app.use("/private/*", async (c, next) => {
    if (c.req.query("token") !== "right") return c.text("who are you?", 401);
    await next();
  });
  app.get("/private/ws", (c) => c.text("ask for a WebSocket"));
  app.get(
    "/private/*",
    upgradeWebSocket(ctx, (c) => ({
      onOpen: (_, ws) =>
        void events.push(["open", c.req.query("token"), ws.readyState, ws.protocol]),
      onMessage: (event, ws) => {
        const { data } = event;
        if (typeof data === "string") ws.send(`text ${data}`);
        else ws.send(new Uint8Array(data as ArrayBuffer).map((byte) => byte + 1));
        if (data === "bye") ws.close(4001, "done");
      },
      onClose: ({ code, reason, wasClean }, ws) =>
        void events.push(["close", code, reason, wasClean, ws.readyState]),
    }), { protocols: "chat" }),
  );
  return { app, events };
}

Deno.test("Hono: the same application works under a listener and under Deno.serve", async () => {
  await using ctx = new Context();
  const { app, events } = application(ctx);
  const handler = (request: Request) => app.fetch(request);
  const native = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, handler);
  const listener = ctx.listen({ hostname: "127.0.0.1", http2: true, upgrades: "handler", handler });
  for (const port of [listener.port, native.addr.port]) {
    const url = `ws://127.0.0.1:${port}/private/socket`;
    const page = await fetch(`http://127.0.0.1:${port}/private/ws?token=right`);
    assertEquals(await page.text(), "ask for a WebSocket");
    assertEquals((await failure(ctx.connect(url, { onError() {} }).opened)).status, 401);
    const conn = ctx.connect(`${url}?token=right`, { protocols: "chat" });
    await conn.opened;
    assertEquals(await events.next(), ["open", "right", 1, "chat"]);
    conn.send("hello");
    assertEquals(await conn.receive(), "text hello");
    conn.send(Uint8Array.of(1, 2, 3));
    assertEquals(await conn.receive(), Uint8Array.of(2, 3, 4));
    conn.send("bye");
    assertEquals(await conn.receive(), "text bye");
    const { code, reason } = await conn.closed;
    assertEquals([code, reason], [4001, "done"]);
    assertEquals(await events.next(), ["close", 4001, "done", true, 3]);
  }
  await native.shutdown();
  await using client = await Http2Peer.connect(listener.port);
  using peer = await client.webSocket({ ":path": "/private/socket?token=right" });
  await peer.send(TEXT, "hello");
  assertEquals((await peer.next(TEXT)).payload, utf8("text hello"));
});

Deno.test("Hono: a pending onMessage stops the peer, and errors reach onError", async () => {
  await using ctx = new Context();
  const gate = Promise.withResolvers<void>();
  const conns = new EventLog<Connection>(), errors = new EventLog<ErrorEvent>();
  const app = new Hono();
  let taken = 0;
  app.get(
    "/",
    upgradeWebSocket(ctx, () => ({
      onOpen: (_, ws) => conns.push(ws.raw!),
      async onMessage() {
        if (++taken === 1) await gate.promise;
        throw new Error(`message ${taken}`);
      },
      onError: (event) => errors.push(event as ErrorEvent),
    })),
  );
  const { url } = ctx.listen({
    hostname: "127.0.0.1",
    upgrades: "handler",
    handler: (request) => app.fetch(request),
  });
  const client = ctx.connect(url);
  await client.opened;
  client.send("one");
  client.send("two");
  const conn = await conns.next();
  await client.ping();
  assertEquals(taken, 1);
  assert(conn.stats().messagesReceived >= 1);
  gate.resolve();
  assertEquals((await errors.next()).message, "message 1");
  assertEquals((await errors.next()).error.message, "message 2");
});
