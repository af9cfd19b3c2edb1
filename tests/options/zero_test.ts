import { assert, assertEquals } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { rawHost, rawPeer } from "../support/pair.ts";
import { rawListener, RawPeer, upgradeRequest, urlOf } from "../support/raw_peer.ts";
import { standstill, until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual_clock.ts";

const SECOND = 1000, DAY = 24 * 3600 * SECOND;
/** More ms than a timer of the platform supports; it takes them for 1 ms. */
const LONGER = 2 ** 31;

// "For ever" means 100 days of a virtual clock.
for (const never of [0, Infinity, 100 * DAY + LONGER]) {
  Deno.test(`fault 56: closeTimeout ${never} lets a closing connection wait for its peer for ever`, async () => {
    using clock = new VirtualClock();
    await using peer = await rawPeer({ closeTimeout: never, keepAlive: false });
    peer.conn.close();
    assertEquals((await peer.raw.frame())!.opcode, 8);
    await clock.advance(100 * DAY);
    assertEquals(peer.conn.state, "closing");
    await peer.raw.sendClose(1000);
    assert((await peer.conn.closed).wasClean);
  });

  Deno.test(`fault 56: keepAlive.timeout ${never} pings, and waits for the pong for ever`, async () => {
    using clock = new VirtualClock();
    await using peer = await rawPeer({ keepAlive: { interval: DAY, timeout: never } });
    await clock.advance(1.25 * DAY);
    assertEquals((await peer.raw.frame())!.opcode, 9);
    await clock.advance(100 * DAY);
    assertEquals(peer.conn.state, "open");
  });

  Deno.test(`fault 56: keepAlive.interval ${never} sends no ping`, async () => {
    using clock = new VirtualClock();
    await using peer = await rawPeer({ keepAlive: { interval: never, timeout: 1 } });
    await clock.advance(100 * DAY);
    peer.conn.send("first");
    assertEquals((await peer.raw.frame())!.opcode, 1);
    assertEquals(peer.conn.state, "open");
  });

  Deno.test(`fault 56: sendTimeout ${never} lets a peer read nothing for ever`, async () => {
    using clock = new VirtualClock();
    await using peer = await rawPeer({ keepAlive: false, sendTimeout: never });
    for (let i = 0; i < 128; i++) peer.conn.send(new Uint8Array(128 * 1024 - i));
    assert(await standstill(() => peer.conn.queuedBytes) > 0);
    await clock.advance(100 * DAY);
    assertEquals(peer.conn.state, "open");
  });

  Deno.test(`fault 56: connectTimeout ${never} waits for a response for ever`, async () => {
    using clock = new VirtualClock();
    using listener = rawListener();
    const ctx = new Context();
    const conn = ctx.connect(urlOf(listener), { connectTimeout: never });
    const socket = await listener.accept();
    await clock.advance(100 * DAY);
    assertEquals(conn.state, "connecting");
    using raw = await new RawPeer(socket, "server").answer();
    await conn.opened;
    raw.close();
    await conn.closed;
  });

  Deno.test(`fault 56: handshakeTimeout ${never} waits for a request for ever`, async () => {
    using clock = new VirtualClock();
    const ctx = new Context();
    const opened = Promise.withResolvers<Connection>();
    const listener = ctx.listen({
      hostname: "127.0.0.1",
      handshakeTimeout: never,
      onConnect: opened.resolve,
    });
    using raw = await RawPeer.dial(listener.port);
    const request = upgradeRequest();
    await raw.write(request.subarray(0, 20));
    await clock.advance(100 * DAY);
    await raw.write(request.subarray(20));
    const conn = await opened.promise;
    conn.terminate();
    await conn.closed;
    await listener.shutdown();
  });

  Deno.test(`fault 56: a ping's timeout ${never} waits for its pong for ever`, async () => {
    using clock = new VirtualClock();
    await using peer = await rawPeer({ keepAlive: false });
    const pong = peer.conn.ping("x", { timeout: never });
    assertEquals((await peer.raw.frame())!.opcode, 9);
    await clock.advance(100 * DAY);
    await peer.raw.send(10, "x");
    assertEquals(Math.round(await pong / DAY), 100);
  });
}

Deno.test("fault 56: a timeout of 2³¹ ms or more doesn't end at once", async () => {
  using clock = new VirtualClock();
  await using peer = await rawHost({ closeTimeout: LONGER, keepAlive: false });
  peer.conn.close();
  await clock.advance(LONGER - SECOND);
  assertEquals(peer.conn.state, "closing");
  // Progress, here the close frame, is noticed up to a quarter of the timeout late.
  await clock.advance(LONGER / 4 + 2 * SECOND);
  assertEquals((await peer.conn.closed).code, 1006);
});

Deno.test("fault 56: 0 means no limit for each maximum of a listener", async () => {
  await using ctx = new Context();
  const got: number[] = [];
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    maxConnections: 0,
    maxConnectionsPerAddress: 0,
    maxHandshakes: 0,
    maxHeaderBytes: 0,
    maxHeaderFields: 0,
    maxMessageSize: 0,
    maxQueueBytes: 0,
    maxTopics: 0,
    onMessage: (_, data) => void got.push(data.length),
  });
  const headers = Array.from(
    { length: 300 },
    (_, i): [string, string] => [`x-${i}`, "a".repeat(200)],
  );
  const conns = Array.from({ length: 40 }, () => ctx.connect(listener.url, { headers }));
  await Promise.all(conns.map(({ opened }) => opened));
  assertEquals(listener.connections.size, 40);
  const size = 3 << 20;
  conns[0].send(new Uint8Array(size));
  await until(() => got.length === 1);
  assertEquals(got, [size]);
  const [server] = listener.connections;
  server.pauseSending();
  for (let i = 0; i < 20; i++) server.send(new Uint8Array(1 << 20));
  assertEquals(server.queuedBytes, 20 << 20);
  for (let i = 0; i < 1500; i++) server.subscribe(`topic ${i}`);
  assertEquals([...server.topics].length, 1500);
});

Deno.test("fault 56: 0 means 0 for amounts", async () => {
  await using marks = await rawPeer({ highWaterMark: 0, lowWaterMark: 0, readAhead: 0 });
  const { conn, raw } = marks;
  conn.pauseSending();
  assertEquals([conn.send(""), conn.send("x")], [true, false]);
  conn.resumeSending();
  await conn.drained();
  conn.pause();
  const before = conn.stats().messagesReceived;
  await raw.send(1, "held back");
  await standstill(() => conn.stats().bytesReceived);
  assertEquals(conn.stats().messagesReceived, before);
  conn.resume();
  assertEquals(await conn.receive(), "held back");

  await using ctx = new Context();
  const compression = { threshold: 0, level: 0 };
  const listener = ctx.listen({ hostname: "127.0.0.1", compression });
  using peer = await RawPeer.connect(listener.port, {
    "Sec-WebSocket-Extensions": "permessage-deflate",
  });
  const [server] = listener.connections;
  server.send("x");
  // RSV1 marks a compressed message; level 0 stores it, which adds five bytes.
  const frame = (await peer.frame())!;
  assertEquals(frame.rsv, 4);
  assert(frame.payload.length > 1);
});

Deno.test("fault 56: shutdown with timeout 0 terminates at once", async () => {
  using clock = new VirtualClock();
  const peer = await rawPeer({ keepAlive: false, closeTimeout: 0 });
  const over = peer.ctx.shutdown({ timeout: 0 });
  await clock.advance(0);
  assertEquals(await over, { clean: 0, terminated: 1 });
  assertEquals((await peer.conn.closed).code, 1006);
  peer.raw.close();
});
