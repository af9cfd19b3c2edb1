import { assertEquals } from "@std/assert";
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { Server, type Socket as ServerSocket } from "socket.io";
import { io, type Socket } from "socket.io-client";
import { assertOurs, called } from "./_ours.ts";

async function serving(transports: string[], use: (url: string, server: Server) => Promise<void>) {
  const http = createServer();
  const server = new Server(http, { transports: transports as never, perMessageDeflate: true });
  await once(http.listen(0, "127.0.0.1"), "listening");
  const clients: Socket[] = [];
  try {
    await use(`http://127.0.0.1:${(http.address() as AddressInfo).port}`, server);
  } finally {
    for (const client of clients) client.close();
    await server.close();
  }
}

Deno.test({
  name: "socket.io: acknowledgements, binary messages, rooms and broadcasts work without polling",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    assertOurs("socket.io");
    assertOurs("socket.io-client");
    await serving(["websocket"], async (url, server) => {
      server.on("connection", (socket: ServerSocket) => {
        socket.on("add", (a: number, b: number, answer: (sum: number) => void) => answer(a + b));
        socket.on(
          "reverse",
          (bytes: Uint8Array, answer: (bytes: Uint8Array) => void) =>
            answer(Uint8Array.from(bytes).reverse()),
        );
        socket.on("join", (room: string, answer: () => void) => {
          socket.join(room);
          answer();
        });
      });
      const [one, two, three] = [1, 2, 3].map(() =>
        io(url, { transports: ["websocket"], forceNew: true })
      );
      assertEquals(await one.emitWithAck("add", 2, 3), 5);
      const reversed = await one.emitWithAck("reverse", new Uint8Array([1, 2, 3]));
      assertEquals([...new Uint8Array(reversed)], [3, 2, 1]);
      const large = "x".repeat(200_000);
      one.on("large", (text: string, answer: (length: number) => void) => answer(text.length));
      await Promise.all([one.emitWithAck("join", "a"), two.emitWithAck("join", "a")]);
      await three.emitWithAck("add", 0, 0);
      assertEquals(await server.to(one.id!).timeout(5000).emitWithAck("large", large), [200_000]);
      const got: string[] = [];
      three.on("news", () => got.push("three"));
      const both = Promise.all(
        [one, two].map((client, i) =>
          called((done) =>
            client.on("news", (text: string) => {
              got.push(`${i} ${text}`);
              done(text);
            })
          )
        ),
      );
      server.to("a").emit("news", "hello");
      await both;
      assertEquals(got.sort(), ["0 hello", "1 hello"]);
      // A thousand broadcasts arrive in order, and none is missing.
      const numbers: number[] = [];
      const all = called((done) =>
        three.on("count", (n: number) => {
          numbers.push(n);
          if (numbers.length === 1000) done(n);
        })
      );
      for (let i = 0; i < 1000; i++) server.emit("count", i);
      await all;
      assertEquals(numbers, Array.from({ length: 1000 }, (_, i) => i));
      for (const client of [one, two, three]) client.close();
    });
  },
});

Deno.test({
  name: "socket.io: a client upgrades from polling, and continues after a lost connection",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    await serving(["polling", "websocket"], async (url, server) => {
      const sockets: ServerSocket[] = [];
      server.on("connection", (socket: ServerSocket) => {
        sockets.push(socket);
        socket.on("echo", (text: string, answer: (text: string) => void) => answer(text));
      });
      const client = io(url, { reconnectionDelay: 10, forceNew: true });
      await called((done) => client.once("connect", () => done(null)));
      if (client.io.engine.transport.name !== "websocket") {
        await called((done) => client.io.engine.once("upgrade", () => done(null)));
      }
      assertEquals(client.io.engine.transport.name, "websocket");
      assertEquals(await client.emitWithAck("echo", "upgraded"), "upgraded");
      const gone = called<string>((done) => client.once("disconnect", done));
      const again = called((done) => client.io.once("reconnect", () => done(null)));
      sockets[0].conn.close();
      await gone;
      await again;
      assertEquals(await client.emitWithAck("echo", "again"), "again");
      client.close();
    });
  },
});
