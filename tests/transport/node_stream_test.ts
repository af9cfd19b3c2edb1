import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { createServer as createHttpServer, request } from "node:http";
import { connect as connectSocket, createServer, type Server, type Socket } from "node:net";
import { Duplex, PassThrough } from "node:stream";
import type { AddressInfo } from "node:net";
import { isNodeDuplex, NodeStreamTransport } from "../../src/transport/node_stream.ts";
import { failure } from "../support/failure.ts";
import { echo, pattern, readExactly, writeAll } from "./streams.ts";
import { standstill } from "../support/until.ts";

/** A Node socket whose peer is a `Deno.TcpConn`. */
async function socketPair(): Promise<[Socket, Deno.TcpConn, Server]> {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const server = createServer({ allowHalfOpen: true }, resolve);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  return [await promise, conn, server];
}

const closed = (server: Server) => new Promise((done) => server.close(done));

for (const size of [512, 64 * 1024]) {
  Deno.test(`an echo of 8 MiB survives a socket that is read ${size} bytes at a time`, async () => {
    const [socket, conn, server] = await socketPair();
    const transport = new NodeStreamTransport(socket);
    assertEquals(transport.remoteAddr, conn.localAddr);
    const echoing = echo(transport, size);
    const bytes = pattern(8 << 20);
    const [back] = await Promise.all([readExactly(conn, bytes.length), writeAll(conn, bytes)]);
    assertEquals(back, bytes);
    await conn.closeWrite();
    assertEquals(await conn.read(new Uint8Array(1)), null);
    await echoing;
    conn.close();
    await closed(server);
  });
}

Deno.test("the end of one direction leaves the other one open", async () => {
  const [socket, conn, server] = await socketPair();
  const transport = new NodeStreamTransport(socket);
  await conn.closeWrite();
  assertEquals(await transport.read(new Uint8Array(1)), null);
  await writeAll(transport, "late");
  assertEquals(new TextDecoder().decode(await readExactly(conn, 4)), "late");
  await transport.closeWrite();
  assertEquals(await conn.read(new Uint8Array(1)), null);
  transport.close();
  conn.close();
  await closed(server);
});

Deno.test("a socket that isn't read stops its peer", async () => {
  const [socket, conn, server] = await socketPair();
  const transport = new NodeStreamTransport(socket);
  const total = 48 << 20;
  const chunk = pattern(64 * 1024);
  let sent = 0;
  const sending = (async () => {
    while (sent < total) {
      await writeAll(conn, chunk);
      sent += chunk.length;
    }
  })();
  await standstill(() => sent);
  assert(sent < 24 << 20, `${sent} bytes were accepted`);
  await Promise.all([sending, readExactly(transport, total)]);
  transport.close();
  conn.close();
  await closed(server);
});

Deno.test("a write to a peer that doesn't read waits, and close settles it", async () => {
  const [socket, conn, server] = await socketPair();
  const transport = new NodeStreamTransport(socket);
  let sent = 0;
  const sending = failure((async () => {
    for (;;) sent += await transport.write(new Uint8Array(1 << 20));
  })());
  await standstill(() => sent);
  assert(sent < 24 << 20, `${sent} bytes were accepted`);
  const reading = failure(transport.read(new Uint8Array(1)));
  transport.close();
  assert(await sending instanceof Error);
  assert(await reading instanceof Error);
  conn.close();
  await closed(server);
});

Deno.test("a peer that resets the connection fails the pending read", async () => {
  const server = createServer();
  const accepted = Promise.withResolvers<Socket>();
  server.once("connection", accepted.resolve);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const peer = connectSocket({ port, host: "127.0.0.1" });
  const transport = new NodeStreamTransport(await accepted.promise);
  const reading = failure(transport.read(new Uint8Array(8)));
  peer.resetAndDestroy();
  assertEquals((await reading).code, "ECONNRESET");
  transport.close();
  await closed(server);
});

Deno.test("a transport over the socket of a node:http upgrade has the bytes after the head", async () => {
  const server = createHttpServer();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.on("upgrade", async (_request, socket, head) => {
    const transport = new NodeStreamTransport(socket as Socket);
    assertInstanceOf(head, Uint8Array);
    await writeAll(
      transport,
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    );
    await echo(transport);
    resolve();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const [socket, head] = await new Promise<[Socket, Uint8Array]>((done) => {
    request({ port, headers: { connection: "upgrade", upgrade: "x" } })
      .on("upgrade", (_response, socket, head) => done([socket as Socket, head])).end();
  });
  assertEquals(head.length, 0);
  const client = new NodeStreamTransport(socket);
  const bytes = pattern(4 << 20);
  const [back] = await Promise.all([readExactly(client, bytes.length), writeAll(client, bytes)]);
  assertEquals(back, bytes);
  await client.closeWrite();
  assertEquals(await client.read(new Uint8Array(1)), null);
  client.close();
  await promise;
  await closed(server);
});

Deno.test("invalid streams throw, and aren't changed", async () => {
  const objects = new PassThrough({ objectMode: true });
  assertThrows(() => new NodeStreamTransport(objects), TypeError, "stream of objects");
  assertEquals(objects.listenerCount("readable"), 0);
  const text = new PassThrough();
  text.setEncoding("utf8");
  assertThrows(() => new NodeStreamTransport(text), TypeError, "decode text");
  const ended = new PassThrough();
  ended.end();
  assertThrows(() => new NodeStreamTransport(ended), TypeError, "has been closed");
  const taken = new PassThrough();
  const transport = new NodeStreamTransport(taken);
  assertThrows(() => new NodeStreamTransport(taken), TypeError, "has been taken over");
  taken.write("a");
  assertEquals(await transport.read(new Uint8Array(2)), 1);
  transport.close();
  const [socket, conn, server] = await socketPair();
  socket.destroy();
  assertThrows(() => new NodeStreamTransport(socket), TypeError, "has been closed");
  conn.close();
  await closed(server);
});

Deno.test("isNodeDuplex distinguishes Node streams from other objects", () => {
  assert(isNodeDuplex(new PassThrough()));
  assert(isNodeDuplex(new Duplex()));
  for (const value of [null, undefined, 1, {}, new TransformStream(), new EventTarget()]) {
    assert(!isNodeDuplex(value));
  }
  assert(isNodeDuplex(connectSocket({ port: 1 }).on("error", () => {}).destroy()));
});
