import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { numbered } from "../support/messages.ts";
import { RAW_LISTENERS, testPair, testRaw } from "../support/pair.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { until } from "../support/until.ts";
import { mayFail } from "../support/failure.ts";

testPair("shutdown closes every connection with 1001 and returns the result", async (pair) => {
  const closes: number[] = [];
  await using both = await pair({ onClose: (_, close) => closes.push(close.code) }, {
    onClose: (_, close) => closes.push(close.code),
  });
  const first = both.ctx.shutdown();
  assert(first === both.ctx.shutdown({ code: 3000 }), "idempotent");
  assertEquals(await first, { clean: 2, terminated: 0 });
  assertEquals(closes, [1001, 1001]);
  assertEquals(both.ctx.connections.size, 0);
  assertThrows(() => both.ctx.connect("ws://127.0.0.1:1/"), Error, "shut down");
  assertThrows(() => both.ctx.listen(), Error, "shut down");
});

testRaw(
  "shutdown sends a code and a reason, and no message is delivered after it",
  async (rawPeer) => {
    const got: unknown[] = [];
    await using peer = await rawPeer({ onMessage: (_, data) => got.push(data) });
    const result = peer.ctx.shutdown({ code: 4001, reason: "bye" });
    await peer.raw.send(1, "too late");
    const { payload } = await peer.raw.next(8);
    assertEquals(payload[0] * 256 + payload[1], 4001);
    await peer.raw.sendClose(4001);
    assertEquals(await result, { clean: 1, terminated: 0 });
    assertEquals([(await peer.conn.closed).undelivered, got.length], [1, 0]);
    assertThrows(() => new Context().shutdown({ code: 1005 }), RangeError);
  },
  RAW_LISTENERS,
);

testRaw(
  "shutdown sends queued messages, and terminates connections that don't close at its timeout",
  async (rawPeer) => {
    await using peer = await rawPeer();
    for (let i = 0; i < 192; i++) peer.conn.send(numbered(i, 65536));
    assertEquals(await peer.ctx.shutdown({ timeout: 30 }), { clean: 0, terminated: 1 });
    assertEquals(peer.conn.state, "closed");
  },
  RAW_LISTENERS,
);

testRaw("shutdown with a timeout above the maximum of a timer waits", async (rawPeer) => {
  await using peer = await rawPeer();
  const result = peer.ctx.shutdown({ timeout: Infinity });
  await peer.raw.next(8);
  assertEquals(peer.conn.state, "closing");
  await peer.raw.sendClose(1001);
  assertEquals(await result, { clean: 1, terminated: 0 });
}, RAW_LISTENERS);

Deno.test("shutdown answers unfinished handshakes of clients with 503 and cancels its own ones", async () => {
  const ctx = new Context();
  const asked = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    onHandshake() {
      asked.resolve();
      return gate.promise;
    },
  });
  using raw = await RawPeer.dial(listener.port);
  await raw.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: a\r\n"));
  const conn = ctx.connect(listener.url);
  const opened = assertRejects(() => conn.opened, DOMException);
  await asked.promise;
  await ctx.shutdown();
  await opened;
  assertEquals((await conn.closed).code, 1006);
  assert((await raw.readHead()).startsWith("HTTP/1.1 503 "));
  gate.resolve();
  raw.close();
  await listener.finished;
});

testPair(
  "a listener's shutdown ends only its connections, and finished resolves then",
  async (pair) => {
    await using both = await pair();
    const other = both.ctx.listen({ hostname: "127.0.0.1" });
    const kept = both.ctx.connect(other.url);
    await kept.opened;
    const { listener } = both.server;
    assertEquals(await listener!.shutdown(), { clean: 1, terminated: 0 });
    await listener!.finished;
    assertEquals(kept.state, "open");
    assertEquals((await both.client.closed).code, 1001);
  },
);

testPair("a listener's close() keeps its connections open", async (pair) => {
  await using both = await pair();
  let finished = false;
  both.server.listener!.finished.then(() => finished = true);
  both.server.listener!.close();
  await both.client.ping();
  assert(!finished);
  await assertRejects(() => both.ctx.connect(both.server.url).opened);
  both.client.close();
  await until(() => finished);
});

Deno.test("await ctx.shutdown() in callbacks resolves", async () => {
  for (const name of ["onConnect", "onMessage", "onPing", "onDrain", "onClose"] as const) {
    const ctx = new Context();
    const done = Promise.withResolvers<unknown>();
    const listener = ctx.listen({
      hostname: "127.0.0.1",
      [name]: async (conn: Connection) => {
        done.resolve([conn.role, await ctx.shutdown()]);
      },
    });
    const conn = ctx.connect(listener.url);
    await mayFail(conn.opened, "a shutdown in onConnect may come first");
    if (conn.state === "open") {
      conn.ping();
      conn.send("m");
    }
    const server = [...ctx.connections].find(({ role }) => role === "server");
    if (server?.state === "open" && name === "onDrain") server.send("x");
    if (name === "onClose") conn.close();
    const [role] = await done.promise as [string];
    assertEquals(role, "server");
    await conn.closed;
  }
});

testPair("disposing of a connection closes it with 1000 and waits", async (pair) => {
  await using both = await pair();
  {
    await using conn = both.client;
    assertEquals(conn.state, "open");
  }
  assertEquals(both.client.state, "closed");
  assertEquals((await both.server.closed).code, 1000);
});

testPair(
  "counters: a connection and a context count messages, bytes, high-water mark, pauses and drains",
  async (pair) => {
    await using both = await pair({ onMessage() {} }, { onMessage() {} });
    const { client, server, ctx } = both;
    client.send("abc");
    client.send(new Uint8Array(1000));
    const queued = client.stats();
    assertEquals([queued.queuedBytes, queued.queueHighWater], [1003, 1003]);
    await client.ping();
    // A ping overtakes queued messages.
    await until(() => server.stats().messagesReceived === 2);
    server.pause();
    server.pause();
    server.resume();
    server.pause();
    const sent = client.stats(), got = server.stats();
    assertEquals([sent.messagesSent, sent.messagesReceived, got.messagesReceived], [2, 0, 2]);
    // Headers of 2 + 4 and 4 + 4 bytes, and the ping with 4 + 6.
    assertEquals([sent.bytesSent, got.bytesReceived], [1027, 1027]);
    assertEquals([sent.queuedBytes, sent.drains, got.pauses, sent.dropped], [0, 1, 2, 0]);
    const all = ctx.stats();
    assertEquals([all.openConnections, all.connections], [2, 2]);
    assertEquals([all.messagesSent, all.messagesReceived, all.queueHighWater], [2, 2, 1003]);
    assertEquals([all.pauses, all.drains, all.queuedBytes], [2, 1, 0]);
    client.terminate();
    await server.closed;
    server.terminate();
    await server.closed;
    const ended = ctx.stats();
    assertEquals([ended.openConnections, ended.connections, ended.messagesSent], [0, 2, 2]);
  },
);
