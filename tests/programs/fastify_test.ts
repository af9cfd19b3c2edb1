import { assertEquals } from "@std/assert";
import { once } from "node:events";
import Fastify from "fastify";
import websocket from "@fastify/websocket";
import { WebSocket } from "ws";
import { assertOurs } from "./_ours.ts";

Deno.test({
  name:
    "@fastify/websocket: routes with hooks, subprotocols and a stream work beside a route for HTTP",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    assertOurs("@fastify/websocket");
    const app = Fastify();
    await app.register(websocket, {
      options: { handleProtocols: (protocols: Set<string>) => [...protocols].at(-1) ?? false },
    });
    app.get("/page", () => "page");
    app.get("/echo/:name", {
      websocket: true,
      preValidation: async (request: any, reply: any) => {
        if (request.query.token !== "right") await reply.code(401).send("no");
      },
    }, (socket: any, request: any) => {
      socket.send(`hello ${request.params.name}`);
      socket.on(
        "message",
        (data: any, isBinary: boolean) => socket.send(data, { binary: isBinary }),
      );
    });
    await app.listen({ port: 0, host: "127.0.0.1" });
    const { port } = app.server.address() as { port: number };
    assertEquals(await (await fetch(`http://127.0.0.1:${port}/page`)).text(), "page");
    const socket = new WebSocket(`ws://127.0.0.1:${port}/echo/you?token=right`, ["a", "b"]);
    const [greeting] = await once(socket, "message");
    assertEquals([String(greeting), socket.protocol], ["hello you", "b"]);
    socket.send(new Uint8Array([1, 2, 3]));
    const [bytes, isBinary] = await once(socket, "message");
    assertEquals([[...bytes], isBinary], [[1, 2, 3], true]);
    const refused = new WebSocket(`ws://127.0.0.1:${port}/echo/you`);
    const [error] = await once(refused, "error");
    assertEquals(error.message, "Unexpected server response: 401");
    const closed = once(socket, "close");
    await app.close();
    assertEquals((await closed)[0], 1005);
  },
});
