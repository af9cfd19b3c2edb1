import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { RawPeer } from "../support/raw_peer.ts";
import { until } from "../support/until.ts";
import { both } from "./_implementation.ts";
import { closing, next, pair, serve } from "./_serve.ts";
import { mayFail } from "../support/failure.ts";

// createWebSocketStream of the npm package ws.

both(
  "stream: chunks are messages in both directions, and the end closes the socket",
  async (ws) => {
    await using p = await pair(ws);
    const stream = ws.createWebSocketStream(p.client);
    assert(stream instanceof Duplex);
    stream.write("hello");
    assertEquals(await next(p.serverLog, "message"), [Buffer.from("hello"), true]);
    p.server.send("answer");
    assertEquals((await once(stream, "data"))[0], Buffer.from("answer"));
    stream.end("last");
    assertEquals(String((await next(p.serverLog, "message"))[0]), "last");
    assertEquals(await closing(p.serverLog), [1005, ""]);
    await closing(p.clientLog);
  },
);

both("stream: chunks that are written while connecting wait", async (ws) => {
  await using s = await serve(ws);
  const socket = new ws.WebSocket(s.url);
  const stream = ws.createWebSocketStream(socket, { encoding: "utf8" });
  stream.write("early");
  const { socket: server, log } = await s.accepted.next();
  assertEquals(String((await next(log, "message"))[0]), "early");
  server.send("text");
  assertEquals((await once(stream, "data"))[0], "text");
  stream.destroy();
  assertEquals((await closing(log))[0], 1006);
});

both("stream: readableObjectMode distinguishes text and bytes", async (ws) => {
  await using p = await pair(ws);
  const stream = ws.createWebSocketStream(p.client, { readableObjectMode: true });
  p.server.send("text");
  assertEquals((await once(stream, "data"))[0], "text");
  p.server.send(Buffer.from("bytes"));
  assertEquals((await once(stream, "data"))[0], Buffer.from("bytes"));
  stream.destroy();
});

both("stream: the peer's close ends the stream", async (ws) => {
  await using p = await pair(ws);
  const stream = ws.createWebSocketStream(p.client);
  p.server.send("x");
  p.server.close();
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  assertEquals(Buffer.concat(chunks), Buffer.from("x"));
});

both(
  "stream: an error of the socket destroys the stream, and the close frame is sent",
  async (ws) => {
    await using s = await serve(ws);
    using raw = await RawPeer.connect(s.port);
    const { socket } = await s.accepted.next();
    const stream = ws.createWebSocketStream(socket);
    const failed = new Promise<Error & { code: string }>((resolve) => stream.on("error", resolve));
    await raw.send(3, "x");
    assertEquals(await raw.closeCode(), 1002);
    raw.close();
    assertEquals((await failed).code, "WS_ERR_INVALID_OPCODE");
    assert(stream.destroyed);
  },
);

both("stream: an error of the stream destroys the socket", async (ws) => {
  await using p = await pair(ws);
  const stream = ws.createWebSocketStream(p.client);
  const failed = once(stream, "error");
  stream.destroy(new Error("mine"));
  assertEquals((await failed)[0].message, "mine");
  assertEquals((await closing(p.serverLog))[0], 1006);
});

both("stream: finish, end and close are emitted in this order", async (ws) => {
  for (const when of ["connecting", "open", "closing"]) {
    await using s = await serve(ws);
    const socket = new ws.WebSocket(s.url), order: string[] = [];
    const stream = ws.createWebSocketStream(socket).resume();
    for (const type of ["finish", "end", "close"]) stream.on(type, () => order.push(type));
    if (when !== "connecting") await once(socket, "open");
    if (when === "closing") socket.close();
    stream.end();
    await once(stream, "close");
    assertEquals(order, ["finish", "end", "close"]);
  }
});

both("stream: destroying it while connecting fails the handshake", async (ws) => {
  for (const error of [undefined, new Error("mine")]) {
    await using s = await serve(ws);
    const socket = new ws.WebSocket(s.url), order: string[] = [];
    const stream = ws.createWebSocketStream(socket);
    stream.on("error", ({ message }) => order.push(message));
    socket.on("close", () => order.push("closed"));
    stream.destroy(error);
    stream.destroy(new Error("too late"));
    await new Promise<void>((resolve) => stream.on("close", () => resolve()));
    assertEquals(order, [
      "closed",
      "WebSocket was closed before the connection was established",
    ]);
  }
});

both("stream: a consumer that doesn't read stops the peer, which continues later", async (ws) => {
  await using p = await pair(ws);
  const stream = ws.createWebSocketStream(p.server);
  let taken = 0;
  for (let i = 0; i < 24; i++) p.client.send(Buffer.alloc(1024 * 1024), () => taken++);
  await until(() => taken > 0);
  assert(taken < 24, "all messages were passed on although the stream isn't read");
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes === 24 * 1024 * 1024) break;
  }
});

both("stream: a pipeline sends 8 MiB through an echo", async (ws) => {
  await using p = await pair(ws);
  const echo = ws.createWebSocketStream(p.server);
  echo.pipe(echo);
  const stream = ws.createWebSocketStream(p.client);
  const hashed = (async () => {
    let bytes = 0;
    for await (const chunk of stream) {
      for (const byte of chunk) assert(byte === (bytes++ & 0xff));
      if (bytes === 8 * 1024 * 1024) break;
    }
    return bytes;
  })();
  const block = Buffer.from(Uint8Array.from({ length: 64 * 1024 }, (_, i) => i));
  const sending = pipeline(
    async function* () {
      for (let i = 0; i < 128; i++) yield block;
    },
    stream,
    { end: false } as never,
  );
  await mayFail(sending, "leaving the loop destroys the stream");
  assertEquals(await hashed, 8 * 1024 * 1024);
});
