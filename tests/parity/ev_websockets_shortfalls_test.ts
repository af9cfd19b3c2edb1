/** Cases in which EV::Websockets 0.10 doesn't do what its documentation says. Each test shows the right behaviour. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Connection, Context, HandshakeError, TimeoutError } from "../../mod.ts";
import { accept, Events, pair, rawClient, rawServer, recorder } from "./_support.ts";
import { text } from "../support/bytes.ts";
import { BINARY, CLOSE, closeFrame, frame, masked, PING, TEXT } from "../support/frames.ts";
import { freePort } from "../support/raw_peer.ts";
import { unlessGone } from "../support/failure.ts";

// "proxy without a port is ignored" is tested with the proxies.

const local = { hostname: "127.0.0.1" };

Deno.test("on_close always reports 1000: here the received code is reported", async () => {
  await using both = await pair();
  both.client.close(4001, "why");
  const { code, reason, initiator } = await both.server.closed;
  assertEquals([code, reason, initiator], [4001, "why", "remote"]);
});

Deno.test("closing drops TCP at once: here close waits for the peer's close frame", async () => {
  const ctx = new Context();
  await using listener = ctx.listen({ ...local });
  using peer = await rawClient(listener.port);
  const [conn] = listener.connections;
  conn.close(1000);
  assertEquals((await peer.frame())!.opcode, CLOSE);
  assertEquals(conn.state, "closing");
  await peer.sendClose(4001);
  const { sent, received, wasClean } = await conn.closed;
  assertEquals([sent?.code, received?.code, wasClean], [1000, 4001, true]);
});

Deno.test("a refused handshake is only a disconnect: here both sides get the status", async () => {
  const ctx = new Context();
  const refused = new Events<number>();
  await using listener = ctx.listen({
    ...local,
    onHandshake: () => false,
    onHandshakeError: (error) => refused.push((error as HandshakeError).status),
  });
  const conn = ctx.connect(listener.url, { onError: () => {} });
  assertEquals(
    (await assertRejects(() => conn.opened, HandshakeError) as HandshakeError).status,
    403,
  );
  assertEquals(await refused.next(), 403);
});

Deno.test("the subprotocol is unknown on the client and a raw list on the server: here both have the negotiated one", async () => {
  await using both = await pair({ protocols: ["b"] }, { protocols: ["a", "b"] });
  assertEquals([both.client.protocol, both.server.protocol], ["b", "b"]);
});

Deno.test("Location and WWW-Authenticate are lost: here the error has them", async () => {
  const server = await rawServer((peer) =>
    peer.write(
      "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nLocation: /login\r\n" +
        "Content-Length: 5\r\n\r\nlogin",
    )
  );
  const ctx = new Context();
  const conn = ctx.connect(server.url, { onError: () => {} });
  const error = await assertRejects(() => conn.opened, HandshakeError) as HandshakeError;
  assertEquals(error.headers.get("www-authenticate"), "Basic");
  assertEquals(error.headers.get("location"), "/login");
  assertEquals(new TextDecoder().decode(error.body), "login");
  server.close();
});

Deno.test("a timed-out connect continues in the background: here it ends once, and so does its socket", async () => {
  const late = Promise.withResolvers<void>();
  const server = await rawServer(async (peer) => {
    await late.promise;
    await unlessGone(peer.write(accept(peer)));
    assertEquals(await peer.frame(), null);
  });
  const events = new Events<string>();
  const ctx = new Context();
  const conn = ctx.connect(server.url, { ...recorder(events), connectTimeout: 20 });
  await assertRejects(() => conn.opened, TimeoutError);
  await conn.closed;
  late.resolve();
  await server.done;
  assertEquals(events.all, ["error: TimeoutError", "close: 1006 "]);
  server.close();
});

Deno.test("a synchronous failure is both thrown and called back: here an invalid argument only throws", () => {
  const events = new Events<string>();
  const ctx = new Context();
  assertThrows(() => ctx.connect("ftp://host/", recorder(events)), Error);
  assertThrows(() => ctx.connect("ws://h/", { ...recorder(events), protocols: "a b" }), TypeError);
  assertEquals(events.all, []);
});

Deno.test("an oversized message doesn't lead to 1009: here it does", async () => {
  const ctx = new Context();
  await using listener = ctx.listen({
    ...local,
    maxMessageSize: 10,
    onMessage: () => {},
    onError: () => {},
  });
  using peer = await rawClient(listener.port);
  await peer.send(BINARY, new Uint8Array(11));
  assertEquals(await peer.closeCode(), 1009);
});

Deno.test("parsed messages are delivered after a pause or close in a callback: here they aren't", async () => {
  for (const stop of ["pause", "close"] as const) {
    const events = new Events<string>();
    const ctx = new Context();
    await using listener = ctx.listen({
      ...local,
      onMessage(conn, data) {
        events.push(`${data}`);
        conn[stop]();
      },
      onPing: () => events.push("ping"),
    });
    using peer = await rawClient(listener.port);
    await peer.send(frame(TEXT, "one"), frame(TEXT, "two"), frame(PING));
    assertEquals(await events.take(2), ["one", "ping"]);
    const [conn] = listener.connections;
    conn.terminate();
  }
});

Deno.test("connect and write failures fire no on_close: here each fires one, with the cause", async () => {
  const ctx = new Context();
  const events = new Events<string>();
  ctx.connect(`ws://127.0.0.1:${freePort()}/`, recorder(events));
  assertEquals(await events.take(2), ["error: ConnectionRefused", "close: 1006 "]);
  await using listener = ctx.listen({ ...local, ...recorder(events), maxQueueBytes: 0 });
  const peer = await rawClient(listener.port);
  assertEquals(await events.next(), "connect");
  const [conn] = listener.connections;
  conn.send(new Uint8Array(8 * 1024 * 1024));
  peer.close();
  assert((await events.next()).startsWith("error: "));
  assertEquals(await events.next(), "close: 1006 ");
});

Deno.test("destroying a context fires nothing: here onClose is called for every connection", async () => {
  const events = new Events<string>();
  const both = await pair(
    { onClose: (_conn, { code }) => events.push(`server ${code}`) },
    { onClose: (_conn, { code }) => events.push(`client ${code}`) },
  );
  const connecting = both.ctx.connect(both.listener.url, {
    onClose: (_conn, { code }) => events.push(`connecting ${code}`),
  });
  await both.ctx.shutdown();
  await connecting.closed;
  assertEquals(events.all.sort(), ["client 1001", "connecting 1006", "server 1001"]);
});

Deno.test("Path has no query: here the URL is complete", async () => {
  const urls = new Events<string>();
  const ctx = new Context();
  await using listener = ctx.listen({
    ...local,
    onConnect: (conn) => urls.push(`${conn.url} ${conn.request!.url}`),
  });
  using _peer = await rawClient(listener.port, {}, "/a%20b/c?x=1&y=%2F");
  const path = "://127.0.0.1/a%20b/c?x=1&y=%2F";
  assertEquals(await urls.next(), `ws${path} http${path}`);
  for (const conn of listener.connections) conn.terminate();
});

Deno.test("unmasked frames and invalid UTF-8 are accepted: here they fail the connection", async () => {
  const cases: [Uint8Array, number][] = [
    [frame(TEXT, "unmasked"), 1002],
    [masked(frame(TEXT, new Uint8Array([0xff, 0xfe]))), 1007],
    [masked(closeFrame(1000, new Uint8Array([0xff]))), 1007],
  ];
  for (const [bytes, code] of cases) {
    const ctx = new Context();
    await using listener = ctx.listen({ ...local, onMessage: () => {}, onError: () => {} });
    using peer = await rawClient(listener.port);
    await peer.write(bytes);
    assertEquals(await peer.closeCode(), code);
  }
});

Deno.test("any protocol version is accepted: here only 13 is, and the response says so", async () => {
  const ctx = new Context();
  await using listener = ctx.listen({ ...local });
  using peer = await rawClient(listener.port, { "Sec-WebSocket-Version": "8" });
  assert(peer.head.startsWith("HTTP/1.1 426 "));
  assert(/sec-websocket-version: 13\r\n/i.test(peer.head));
});

Deno.test("five pings in a burst get one pong: here a peer that reads gets a pong for each", async () => {
  const ctx = new Context();
  await using listener = ctx.listen({ ...local });
  using peer = await rawClient(listener.port);
  await peer.send(...[1, 2, 3, 4, 5].map((n) => frame(PING, `${n}`)));
  const texts = [];
  for (let i = 0; i < 5; i++) texts.push(text((await peer.frame())!.payload));
  assertEquals(texts, ["1", "2", "3", "4", "5"]);
});

Deno.test("a listener can't bind to one address: here the option hostname does", async () => {
  const ctx = new Context();
  await using listener = ctx.listen({ hostname: "127.0.0.1" });
  assertEquals(listener.hostname, "127.0.0.1");
  // The same port is free on another address of this machine.
  await using other = ctx.listen({ hostname: "127.0.0.2", port: listener.port });
  assertEquals(other.hostname, "127.0.0.2");
});

Deno.test("the keepalive can't be configured: here its times are options", async () => {
  const ctx = new Context();
  const accepted = Promise.withResolvers<Connection>();
  await using listener = ctx.listen({
    ...local,
    keepAlive: { interval: 5, timeout: 10 },
    onConnect: (conn) => accepted.resolve(conn),
    onError: () => {},
  });
  using _peer = await rawClient(listener.port);
  const { cause } = await (await accepted.promise).closed;
  assert(cause instanceof TimeoutError && cause.message.includes("silent for 10 ms"), `${cause}`);
});

Deno.test("redirects are always followed: here they lead to an error that names the target", async () => {
  const server = await rawServer((peer) =>
    peer.write("HTTP/1.1 302 Found\r\nLocation: ws://elsewhere.example/\r\n\r\n")
  );
  const ctx = new Context();
  const conn = ctx.connect(server.url, { onError: () => {} });
  const error = await assertRejects(() => conn.opened, HandshakeError) as HandshakeError;
  assertEquals(error.status, 302);
  assert(error.message.includes("elsewhere.example"), error.message);
  server.close();
});
