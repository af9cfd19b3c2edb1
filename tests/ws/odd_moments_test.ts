// Calls at unusual times, and streams that break.

import { Buffer } from "node:buffer";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { assertEquals, assertThrows } from "@std/assert";
import { frame, TEXT } from "../support/frames.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { until } from "../support/until.ts";
import { both } from "./_implementation.ts";
import { closing, next, pair, record, serve, type Socket } from "./_serve.ts";

both("close works in listeners of open, connection and message", async (ws) => {
  await using s = await serve(ws);
  const opened = new ws.WebSocket(s.url), openedLog = record(opened);
  opened.on("open", () => opened.close(4001, "open"));
  assertEquals(await closing(openedLog), [4001, "open"]);
  assertEquals(await closing((await s.accepted.next()).log), [4001, "open"]);

  s.wss.once("connection", (socket: Socket) => socket.close(4002, "connection"));
  const refused = record(new ws.WebSocket(s.url));
  assertEquals(await closing(refused), [4002, "connection"]);
  await s.accepted.next();

  await using p = await pair(ws);
  p.server.on("message", () => p.server.close(4003, "message"));
  p.client.send("x");
  assertEquals(await closing(p.clientLog), [4003, "message"]);
});

both(
  "close in a listener of upgrade is an error, since the connection isn't established",
  async (ws) => {
    await using s = await serve(ws);
    const socket = new ws.WebSocket(s.url), log = record(socket);
    socket.on("upgrade", () => socket.close());
    const [error] = await next(log, "error");
    assertEquals(error.message, "WebSocket was closed before the connection was established");
    assertEquals(await closing(log), [1006, ""]);
  },
);

both(
  "after terminate in a listener of message only npm:ws emits later messages of the segment",
  async (ws) => {
    await using s = await serve(ws);
    using raw = await RawPeer.connect(s.port);
    const { socket, log } = await s.accepted.next();
    const seen: string[] = [];
    socket.on("message", (data: Buffer) => {
      seen.push(String(data));
      socket.terminate();
    });
    await raw.send(frame(TEXT, "a"), frame(TEXT, "b"));
    await closing(log);
    assertEquals(seen, ws.is.messagesAfterClose ? ["a", "b"] : ["a"]);
  },
);

both(
  "terminate in a listener of close has no effect, and the set of clients is up to date",
  async (ws) => {
    await using p = await pair(ws);
    const sizes: number[] = [];
    p.server.on("close", () => {
      sizes.push(p.wss.clients!.size);
      p.server.terminate();
      p.server.close();
      p.server.pause();
    });
    assertEquals(p.wss.clients!.has(p.server), true);
    p.client.close();
    await closing(p.serverLog);
    assertEquals([sizes, p.server.readyState, p.server.isPaused], [[0], 3, false]);
  },
);

both("a stream that breaks leads to close with 1006 and to no error", async (ws) => {
  await using p = await pair(ws);
  const { _socket } = p.server as unknown as { _socket: Duplex };
  _socket.destroy(new Error("broken"));
  for (const log of [p.serverLog, p.clientLog]) {
    const { type, args } = await log.next();
    assertEquals([type, args[0]], ["close", 1006]);
  }
});

both(
  "close of a server doesn't close its clients, and completes after the last one",
  async (ws) => {
    await using p = await pair(ws);
    const seen: string[] = [];
    p.wss.on("close", () => seen.push("event"));
    p.wss.close(() => seen.push("callback"));
    p.client.send("still here");
    await next(p.serverLog, "message");
    const late = record(new ws.WebSocket(p.url));
    await next(late, "error");
    await closing(late);
    assertEquals([seen, p.client.readyState], [[], 1]);
    p.client.close();
    await closing(p.serverLog);
    await until(() => seen.length === 2);
    assertEquals(seen, ["event", "callback"]);
  },
);

both("two servers on one HTTP server have different paths", async (ws) => {
  const http = createServer();
  const servers = new Map(
    ["/a", "/b"].map((path) => [path, new ws.WebSocketServer({ noServer: true })]),
  );
  http.on("upgrade", (request, stream, head) => {
    const server = servers.get(request.url!)!;
    server.handleUpgrade(request, stream, head, (socket: Socket) => {
      server.emit("connection", socket, request);
    });
  });
  for (const [path, server] of servers) {
    server.on("connection", (socket: Socket) => socket.send(path));
  }
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const { port } = http.address() as AddressInfo;
  for (const [path, { clients }] of servers) {
    const socket = new ws.WebSocket(`ws://127.0.0.1:${port}${path}`), log = record(socket);
    assertEquals(await next(log, "message"), [Buffer.from(path), false]);
    assertEquals(clients!.size, 1);
    socket.close();
    await closing(log);
    await until(() => clients!.size === 0);
  }
  http.close();
});

both("verifyClient may call back only once", async (ws) => {
  const refused = Promise.withResolvers<void>();
  await using s = await serve(ws, {
    verifyClient: (_: unknown, answer: (verified: boolean) => void) => {
      answer(true);
      assertThrows(() => answer(true), Error, "called more than once with the same socket");
      refused.resolve();
    },
  });
  const socket = new ws.WebSocket(s.url), log = record(socket);
  await next(log, "open");
  await refused.promise;
});

both("the connection continues when all listeners are removed", async (ws) => {
  await using p = await pair(ws);
  p.server.removeAllListeners();
  p.client.send("unheard");
  p.client.close(4000);
  assertEquals(await closing(p.clientLog), [4000, ""]);
  await until(() => p.server.readyState === 3);
});
