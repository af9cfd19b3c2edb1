// WebSockets over HTTP/2 (RFC 8441) with a listener.
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { utf8 } from "../support/bytes.ts";
import { failure } from "../support/failure.ts";
import { BINARY, CLOSE, PING, PONG, readClose, TEXT } from "../support/frames.ts";
import { type Http2Fields, Http2Peer } from "../support/http2_peer.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { standstill, until } from "../support/until.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { serve } from "./_serve.ts";

Deno.test("a stream works like any other connection", async () => {
  await using on = serve({
    protocols: ["b", "a"],
    headers: { "x-listener": "yes" },
    compression: { threshold: 0 },
    onHandshake: (request, info) => ({
      headers: [["set-cookie", "a=1"], ["set-cookie", "b=2"]],
      data: [request.method, new URL(request.url).pathname, info.remoteAddr.transport],
    }),
  });
  await using client = await Http2Peer.connect(on.port);
  assert(client.settings.enableConnectProtocol);
  assertEquals(client.settings.maxConcurrentStreams, 250);
  using peer = await client.webSocket({
    ":path": "/chat?x=1",
    "sec-websocket-protocol": "a, b",
    "sec-websocket-extensions": "permessage-deflate; client_max_window_bits",
    "cookie": ["c=3", "d=4"],
    "origin": "https://page.example",
  });
  const { headers } = peer.conn;
  assertEquals(headers["sec-websocket-protocol"], "b");
  assertMatch(headers["sec-websocket-extensions"], /^permessage-deflate/);
  assertEquals([headers["x-listener"], headers["set-cookie"]], ["yes", ["a=1", "b=2"]]);
  assertEquals([headers["sec-websocket-accept"], headers["upgrade"]], [undefined, undefined]);
  const conn = await on.opened.next();
  assertEquals([conn.httpVersion, conn.protocol, conn.state], ["2", "b", "open"]);
  assertEquals(conn.data, ["GET", "/chat", "tcp"]);
  assertEquals(conn.url, `ws://${client.authority}/chat?x=1`);
  const { headers: asked } = conn.request!;
  assertEquals([asked.get("host"), asked.get("cookie")], [client.authority, "c=3; d=4"]);
  assertEquals([asked.get("upgrade"), asked.get("origin")], ["websocket", "https://page.example"]);
  assertEquals([...conn.responseHeaders!.keys()].includes("sec-websocket-accept"), false);
  assertEquals(conn.responseHeaders!.get("sec-websocket-protocol"), "b");
  const { remoteAddress, localAddress } = conn;
  assertEquals((remoteAddress as Deno.NetAddr).hostname, "127.0.0.1");
  assertEquals((localAddress as Deno.NetAddr).port, on.port);

  await peer.send(TEXT, "hello");
  const answer = await peer.frame();
  assertEquals([answer!.opcode, answer!.rsv], [TEXT, 4]);
  const ping = conn.ping("are you there");
  await peer.send(PONG, (await peer.next(PING)).payload);
  assert(await ping >= 0);
  await peer.send(PING, "and you");
  assertEquals((await peer.next(PONG)).payload, utf8("and you"));
  await peer.sendClose(4001, "bye");
  assertEquals(readClose((await peer.next(CLOSE)).payload), { code: 4001, reason: "bye" });
  assertEquals([await peer.frame(), peer.ended], [null, "end"]);
  await peer.conn.closeWrite();
  const record = await on.closed.next();
  assertEquals([record.code, record.wasClean], [4001, true]);
});

Deno.test("our own close ends the stream with END_STREAM, the client's first", async () => {
  await using on = serve();
  await using client = await Http2Peer.connect(on.port);
  using peer = await client.webSocket();
  const conn = await on.opened.next();
  conn.send("last");
  conn.close(1000, "done");
  assertEquals((await peer.next(TEXT)).payload, utf8("last"));
  await peer.sendClose((readClose((await peer.next(CLOSE)).payload)).code!);
  assertEquals([await peer.frame(), peer.ended], [null, "end"]);
  await peer.conn.closeWrite();
  assertEquals((await conn.closed).wasClean, true);
  await until(() => peer.conn.stream.closed);
  assertEquals(peer.conn.stream.rstCode, 0);
});

Deno.test("terminate resets only its stream, with CANCEL", async () => {
  await using on = serve();
  await using client = await Http2Peer.connect(on.port);
  using one = await client.webSocket();
  const first = await on.opened.next();
  using two = await client.webSocket();
  await on.opened.next();
  first.terminate();
  assertEquals([await one.frame(), one.ended], [null, "reset"]);
  await until(() => one.conn.stream.closed);
  assertEquals(one.conn.stream.rstCode, 8);
  assertEquals((await first.closed).code, 1006);
  await two.send(TEXT, "still here");
  assertEquals((await two.next(TEXT)).payload, utf8("still here"));
});

for (
  const [name, end, cause] of [
    ["a reset", (peer: RawPeer<Any>) => peer.conn.stream.close(8), /reset with CANCEL/],
    ["an error's reset", (peer: RawPeer<Any>) => peer.conn.stream.close(2), /INTERNAL_ERROR/],
    ["END_STREAM alone", (peer: RawPeer<Any>) => peer.conn.closeWrite(), /without a close frame/],
    [
      "the loss of the connection",
      (_: RawPeer<Any>, client: Http2Peer) => client.session.destroy(),
      /HTTP\/2 connection has ended/,
    ],
  ] as const
) {
  Deno.test(`${name} ends a WebSocket with 1006 and its cause`, async () => {
    await using on = serve();
    await using client = await Http2Peer.connect(on.port);
    using peer = await client.webSocket();
    await on.opened.next();
    end(peer, client);
    const record = await on.closed.next();
    assertEquals([record.code, record.wasClean, record.initiator], [1006, false, null]);
    assertMatch(String(record.cause), cause);
  });
}

// deno-lint-ignore no-explicit-any
type Any = any;

Deno.test("a client's GOAWAY doesn't affect its WebSockets", async () => {
  await using on = serve();
  await using client = await Http2Peer.connect(on.port);
  using peer = await client.webSocket();
  await on.opened.next();
  client.session.goaway(0);
  await peer.send(TEXT, "still here");
  assertEquals((await peer.next(TEXT)).payload, utf8("still here"));
  await peer.sendClose(1000);
  assertEquals((await on.closed.next()).wasClean, true);
});

Deno.test("a shutdown sends GOAWAY, closes the WebSockets, and ends the connection", async () => {
  await using on = serve();
  await using client = await Http2Peer.connect(on.port);
  using peer = await client.webSocket();
  await on.opened.next();
  const ended = on.ctx.shutdown();
  assertEquals(readClose((await peer.next(CLOSE)).payload).code, 1001);
  await until(() => client.goaway !== null);
  assertEquals(client.goaway, 0);
  assertEquals(await failure(client.webSocket()).then(() => "refused"), "refused");
  await peer.sendClose(1001);
  await peer.conn.closeWrite();
  assertEquals(await ended, { clean: 1, terminated: 0 });
  await until(() => client.session.destroyed);
});

Deno.test("the timeout of a shutdown ends the remaining streams", async () => {
  await using on = serve();
  await using client = await Http2Peer.connect(on.port);
  using peer = await client.webSocket();
  await on.opened.next();
  assertEquals(await on.ctx.shutdown({ timeout: 20 }), { clean: 0, terminated: 1 });
  assertEquals(await peer.closeCode(), 1001);
  await until(() => client.session.destroyed);
});

Deno.test("an invalid handshake is refused with the same status as over HTTP/1.1", async () => {
  await using on = serve({
    origins: ["https://page.example"],
    onHandshake: (request) =>
      new URL(request.url).pathname === "/" || new Response("no", { status: 404 }),
  });
  await using client = await Http2Peer.connect(on.port);
  const cases: [Http2Fields, number][] = [
    [{ "sec-websocket-version": "8" }, 426],
    [{ "sec-websocket-version": null }, 426],
    [{ "sec-websocket-protocol": "a,,a b" }, 400],
    [{ ":protocol": "connect-udp" }, 501],
    [{ ":protocol": "WebSocket" }, 501],
    [{ ":protocol": null, ":scheme": null, ":path": null }, 405],
    [{ "origin": "https://other.example" }, 403],
    [{ ":path": "/elsewhere" }, 404],
  ];
  for (const [fields, status] of cases) {
    const answer = await client.refusal(fields);
    assertEquals([answer.status, answer.code], [status, 0], JSON.stringify(fields));
    assertEquals((await on.refused.next()).status, status);
  }
  const answer = await client.request({ ":path": "/" });
  assertEquals([answer.status, answer.headers["connection"]], [426, undefined]);
  assertEquals((await on.refused.next()).isUpgrade, false);
  await using another = await Http2Peer.connect(on.port);
  assertEquals((await another.refusal({ "content-length": "5" })).status, 400);
  assertEquals((await on.refused.next()).status, 400);
  using peer = await client.webSocket();
  await peer.send(TEXT, "welcome");
  assertEquals((await peer.next(TEXT)).payload, utf8("welcome"));
});

Deno.test("handshakeTimeout limits the handshake of a stream, too", async () => {
  await using on = serve({ handshakeTimeout: 30, onHandshake: () => new Promise<true>(() => {}) });
  await using client = await Http2Peer.connect(on.port);
  assertEquals((await client.refusal()).status, 408);
  assertEquals((await on.refused.next()).name, "TimeoutError");
});

Deno.test("maxConnections counts WebSockets, and connections that carry none", async () => {
  await using on = serve({ maxConnections: 2 });
  await using client = await Http2Peer.connect(on.port);
  using one = await client.webSocket();
  using _two = await client.webSocket();
  assertEquals((await client.refusal()).status, 503);
  // Another connection is refused before it opens a stream.
  await using other = await Http2Peer.connect(on.port);
  await until(() => other.goaway !== null);
  assertEquals([other.goaway, (await on.refused.next()).status], [11, 503]);
  assertEquals((await failure(RawPeer.connect(on.port))).message.includes("503"), true);
  await one.sendClose(1000);
  await on.closed.next();
  using _three = await client.webSocket();
});

Deno.test("maxConnectionsPerAddress counts one connection, and its WebSockets beyond the first", async () => {
  await using on = serve({ maxConnectionsPerAddress: 2 });
  await using client = await Http2Peer.connect(on.port);
  using one = await client.webSocket();
  using two = await client.webSocket();
  assertEquals((await client.refusal()).status, 503);
  for (const peer of [one, two]) {
    await peer.sendClose(1000);
    await on.closed.next();
  }
  await until(() => on.ctx.connections.size === 0);
  // Only the connection itself counts now.
  using _three = await client.webSocket();
  using _four = await client.webSocket();
  assertEquals((await client.refusal()).status, 503);
  assertEquals(on.ctx.connections.size, 2);
});

Deno.test("a paused WebSocket stops its client by the window of its stream, and doesn't affect others", async () => {
  await using on = serve({ maxMessageSize: 0, keepAlive: false });
  await using client = await Http2Peer.connect(on.port);
  using held = await client.webSocket();
  const conn = await on.opened.next();
  using other = await client.webSocket();
  conn.pause();
  const writing = held.send(BINARY, new Uint8Array(64 << 20));
  const received = await standstill(() => conn.stats().bytesReceived);
  assert(received <= 256 * 1024, `${received} bytes were read`);
  for (let n = 0; n < 20; n++) {
    await other.send(TEXT, `message ${n}`);
    assertEquals((await other.next(TEXT)).payload, utf8(`message ${n}`));
  }
  conn.on({ onMessage: (conn, data) => void conn.send(String(data.length)) });
  conn.resume();
  await writing;
  assertEquals((await held.next(TEXT)).payload, utf8(String(64 << 20)));
});

Deno.test("messages to a client that doesn't read are queued, and drain when it reads again", async () => {
  await using on = serve({ keepAlive: false, maxQueueBytes: 0 });
  await using client = await Http2Peer.connect(on.port);
  using slow = await client.webSocket();
  const conn = await on.opened.next();
  const message = new Uint8Array(64 * 1024);
  for (let n = 0; n < 64; n++) conn.send(message);
  // The rest is in the stream's window, and in the buffers of the streams at both ends.
  const queued = await standstill(() => conn.queuedBytes);
  assert(queued >= 60 * message.length, `${queued} bytes are queued`);
  const drained = conn.drained();
  for (let n = 0; n < 64; n++) assertEquals((await slow.next(BINARY)).payload.length, 65536);
  await drained;
  assertEquals(conn.queuedBytes, 0);
});

Deno.test("over TLS, ALPN offers h2 and http/1.1", async () => {
  using certificates = makeCertificates();
  await using on = serve({ tls: certificates.server });
  await using client = await Http2Peer.connect(on.port, { ca: certificates.ca }, "https");
  assertEquals(client.session.alpnProtocol, "h2");
  using peer = await client.webSocket({ ":scheme": "https" });
  const conn = await on.opened.next();
  assertEquals([conn.httpVersion, new URL(conn.url).protocol], ["2", "wss:"]);
  await peer.send(TEXT, "hello");
  assertEquals((await peer.next(TEXT)).payload, utf8("hello"));
  const older = on.ctx.connect(`wss://localhost:${on.port}/`, {
    tls: { caCerts: [certificates.ca] },
  });
  await older.opened;
  assertEquals((await on.opened.next()).httpVersion, "1.1");
});

Deno.test("without http2 the preface is refused, and ALPN offers only http/1.1", async () => {
  await using on = serve({ http2: false });
  await assertRejects(() => Http2Peer.connect(on.port));
  assertEquals((await on.refused.next()).status, 505);
});
