import { assertEquals } from "@std/assert";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";
import { createNodeWebSocket } from "@hono/node-ws";
import { Hono } from "hono";
import { WebSocket as Standard } from "../../websocket.ts";
import { assertOurs, called } from "./_ours.ts";

Deno.test({
  name: "@hono/node-ws: a route behind a middleware exchanges text and bytes, and closes",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    assertOurs("@hono/node-ws");
    const app = new Hono();
    const { injectWebSocket, upgradeWebSocket } = createNodeWebSocket({ app });
    const closes: number[] = [];
    app.use("/private/*", async (c, next) => {
      if (c.req.query("token") !== "right") return c.text("no", 401);
      await next();
    });
    app.get(
      "/private/ws",
      upgradeWebSocket(() => ({
        onOpen: (_, ws) => ws.send("welcome"),
        onMessage: (event, ws) => ws.send(event.data as string),
        onClose: ({ code }: any) => void closes.push(code),
      })),
    );
    const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" });
    injectWebSocket(server);
    await once(server, "listening");
    const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/private/ws`;
    const socket = new Standard(`${url}?token=right`);
    socket.binaryType = "arraybuffer";
    const next = () => called<MessageEvent>((done) => socket.onmessage = done);
    assertEquals((await next()).data, "welcome");
    socket.send("text");
    assertEquals((await next()).data, "text");
    socket.send(new Uint8Array([1, 2]));
    assertEquals([...new Uint8Array((await next()).data)], [1, 2]);
    const refused = new Standard(url);
    await called((done) => refused.onerror = done);
    const closed = called<CloseEvent>((done) => socket.onclose = done);
    socket.close(4001, "bye");
    assertEquals((await closed).code, 4001);
    while (closes.length === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    assertEquals(closes, [4001]);
    server.close();
  },
});
