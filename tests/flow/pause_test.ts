import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Connection, ConnectionClosedError, TimeoutError } from "../../mod.ts";
import { numbered, numberOf, upTo } from "../support/messages.ts";
import { pair, RAW_PAIRS, rawPeer, VERSIONS } from "../support/pair.ts";
import { join } from "../support/bytes.ts";
import { turn, until } from "../support/until.ts";

const KIB = 1024;
const MANY = 192;

for (const version of VERSIONS) {
  Deno.test(`pause() fills the sender's queue and doesn't stop our pings, and resume() delivers all in order: HTTP/${version}`, async () => {
    const got: number[] = [];
    await using both = await pair(
      { onMessage: (_, data) => got.push(numberOf(data)) },
      {},
      version,
    );
    const { client, server } = both;
    server.pause();
    assert(server.isPaused);
    for (let i = 0; i < MANY; i++) client.send(numbered(i, 64 * KIB));
    // The pong comes after the held messages, so the arrival of the ping is checked at its receiver.
    const pinged = Promise.withResolvers<void>();
    client.on({ onPing: () => pinged.resolve() });
    const round = server.ping();
    await pinged.promise;
    // Loopback holds 6 MiB at most, and 64 KiB and bytes in flight are read ahead. The rest stays with the sender.
    await turn();
    assert(client.queuedBytes > 4 * 1024 * KIB, `${client.queuedBytes}`);
    assertEquals(got, []);
    assert(server.stats().bytesReceived <= 256 * KIB);
    server.resume();
    await until(() => got.length === MANY);
    assertEquals(got, upTo(MANY));
    await round;
  });
}

Deno.test("after pause() in onMessage no message is delivered, even if it was read already; the order is kept", async () => {
  for (const open of Object.values(RAW_PAIRS)) {
    const got: string[] = [];
    await using peer = await open({
      onMessage(conn: Connection, data: string | Uint8Array) {
        assert(!conn.isPaused);
        got.push(data as string);
        conn.pause();
      },
    });
    const { conn, raw } = peer;
    await raw.write(join(["a", "b", "c", "d"].map((text) => raw.encode(1, text))));
    for (const expected of ["a", "ab", "abc", "abcd"]) {
      await until(() => got.join("") === expected);
      conn.resume();
    }
  }
});

for (const version of VERSIONS) {
  Deno.test(`pause, resume and pause in one turn deliver nothing: HTTP/${version}`, async () => {
    const got: string[] = [];
    await using both = await pair(
      { onMessage: (_, data) => got.push(data as string) },
      {},
      version,
    );
    const { client, server } = both;
    server.pause();
    client.send("x");
    await client.ping();
    server.resume();
    server.pause();
    await client.ping();
    assertEquals(got, []);
    server.resume();
    server.resume();
    await until(() => got.length > 0);
    assertEquals(got, ["x"]);
  });
}

for (const version of VERSIONS) {
  Deno.test(`while paused, pings are answered and pongs resolve: HTTP/${version}`, async () => {
    await using both = await pair({ onMessage() {} }, { onMessage() {} }, version);
    both.server.pause();
    both.client.send("held");
    assert(await both.client.ping() >= 0);
    assert(await both.server.ping() >= 0);
  });
}

for (const [ours, open] of Object.entries(RAW_PAIRS)) {
  for (const readAhead of [0, 1, 100, 64 * KIB]) {
    Deno.test(`readAhead ${readAhead}: fewer bytes are read during a pause, and all messages come after resume: ${ours}`, async () => {
      const got: number[] = [];
      await using peer = await open({
        readAhead,
        maxMessageSize: 0,
        onConnect: (conn: Connection) => conn.pause(),
        onMessage: (_: Connection, data: string | Uint8Array) => got.push(numberOf(data)),
      });
      const { conn, raw } = peer;
      const sizes = [4, 1000, 70_000, 4, 10_000_000, 4];
      const writing = raw.write(join(sizes.map((size, i) => raw.encode(2, numbered(i, size)))));
      await until(() => readAhead === 0 || conn.stats().bytesReceived >= Math.min(readAhead, 1000));
      for (let i = 0; i < 20; i++) await turn();
      const read = conn.stats().bytesReceived;
      // Headers and masking keys don't count.
      assert(read <= readAhead + 100, `${read} bytes`);
      if (readAhead === 0) assertEquals(read, 0);
      assertEquals(got, []);
      conn.resume();
      await writing;
      await until(() => got.length === sizes.length);
      assertEquals(got, upTo(sizes.length));
    });
  }
}

for (const [ours, open] of Object.entries(RAW_PAIRS)) {
  Deno.test(`held messages without payload are bounded, too, and arrive: ${ours}`, async () => {
    let got = 0;
    await using peer = await open({ onMessage: () => got++ });
    const { conn, raw } = peer;
    conn.pause();
    const COUNT = 200_000;
    const empty = raw.encode(2);
    const writing = raw.write(join(Array.from({ length: COUNT }, () => empty)));
    await until(() => conn.stats().messagesReceived > 0);
    for (let i = 0; i < 20; i++) await turn();
    assert(conn.stats().messagesReceived < 2000, `${conn.stats().messagesReceived}`);
    assertEquals(got, 0);
    conn.resume();
    await writing;
    await until(() => got === COUNT);
  });
}

Deno.test("of the bytes of one read no more are decoded than readAhead allows", async () => {
  let got = 0;
  const early = join(upTo(5000).map(() => new Uint8Array([0x82, 0x80, 0, 0, 0, 0])));
  await using peer = await rawPeer({
    readAhead: 640, // an empty message counts as 64 bytes
    onConnect: (conn) => conn.pause(),
    onMessage: () => got++,
  }, { early });
  await until(() => peer.conn.stats().messagesReceived > 0);
  await turn();
  assertEquals([peer.conn.stats().messagesReceived, got], [10, 0]);
  peer.conn.resume();
  await until(() => got === 5000);
});

Deno.test("close() ends a pause: held messages are dropped and counted, and the peer's answer is read", async () => {
  const got: unknown[] = [];
  await using peer = await rawPeer({ onMessage: (_, data) => got.push(data) });
  const { conn, raw } = peer;
  conn.pause();
  await raw.write(join(upTo(5).map((i) => raw.encode(1, `${i}`))));
  await until(() => conn.stats().messagesReceived === 5);
  conn.close();
  assert(!conn.isPaused);
  // Far more than readAhead, then the answer.
  const writing = raw.write(
    join([...upTo(MANY).map((i) => raw.encode(2, numbered(i, 64 * KIB))), raw.encode(8)]),
  );
  const { wasClean, undelivered, code } = await conn.closed;
  await writing;
  assertEquals([wasClean, undelivered, code], [true, 5 + MANY, 1005]);
  assertEquals(got, []);
  assertEquals((await raw.next(8)).payload.length, 2);
});

Deno.test("the peer's close during a pause is answered at once; its messages come after resume, then onClose", async () => {
  const log: string[] = [];
  const pinged = Promise.withResolvers<void>();
  await using peer = await rawPeer({
    onMessage(conn, data) {
      log.push(data as string);
      // A pause holds until the last message.
      conn.pause();
    },
    onPing: () => pinged.resolve(),
    onClose: (_, close) => log.push(`close ${close.code} ${close.undelivered}`),
  });
  const { conn, raw } = peer;
  conn.pause();
  await raw.write(join([raw.encode(1, "a"), raw.encode(1, "b"), raw.encode(8)]));
  assertEquals((await raw.frame())!.opcode, 8);
  assertEquals(await raw.frame(), null); // the server closes TCP
  assertEquals([log.length, conn.state], [0, "closing"]);
  conn.resume();
  await until(() => log.length === 1);
  await turn();
  assertEquals(log, ["a"]);
  conn.resume();
  await conn.closed;
  assertEquals(log, ["a", "b", "close 1005 0"]);
});

for (const act of ["close", "terminate", "shutdown", "dispose"] as const) {
  Deno.test(`${act} ends the connection after the peer has closed, with messages held by a pause`, async () => {
    let closes = 0;
    const got: unknown[] = [];
    await using peer = await rawPeer({
      onMessage: (_, data) => got.push(data),
      onClose: () => closes++,
    });
    const { conn, raw } = peer;
    conn.pause();
    await raw.write(join([raw.encode(1, "a"), raw.encode(8)]));
    await raw.frames();
    assertEquals(conn.state, "closing");
    if (act === "shutdown") {
      assertEquals(await peer.ctx.shutdown(), { clean: 1, terminated: 0 });
    } else if (act === "dispose") {
      await conn[Symbol.asyncDispose]();
    } else {
      conn[act]();
    }
    const close = await conn.closed;
    assertEquals([close.wasClean, close.undelivered, closes], [true, 1, 1]);
    assertEquals(got, []);
  });
}

for (const [ours, open] of Object.entries(RAW_PAIRS)) {
  Deno.test(`the timeout of a ping is suspended while a pause keeps its pong from being read: ${ours}`, async () => {
    await using peer = await open({ onMessage() {}, readAhead: 1000 });
    const { conn, raw } = peer;
    conn.pause();
    await raw.send(2, new Uint8Array(1000));
    await until(() => conn.stats().messagesReceived === 1);
    const round = conn.ping("p", { timeout: 20 });
    let settled = false;
    round.then(() => settled = true, () => settled = true);
    await raw.next(9);
    await raw.send(10, "p");
    const start = performance.now();
    await until(() => performance.now() - start > 100);
    assert(!settled);
    conn.resume();
    assert(await round >= 100);
  });
}

for (const [ours, open] of Object.entries(RAW_PAIRS)) {
  Deno.test(`the timeout of a ping runs while a held connection still reads: ${ours}`, async () => {
    await using peer = await open({ onMessage() {} });
    peer.conn.pause();
    await assertRejects(() => peer.conn.ping("p", { timeout: 10 }), TimeoutError);
  });
}

Deno.test("pause() before the handshake holds messages from the first one on", async () => {
  const got: string[] = [];
  await using peer = await rawPeer({ onMessage() {} });
  const conn = peer.ctx.connect([...peer.ctx.connections][0].url, {
    onMessage: (_, data) => got.push(data as string),
  });
  conn.pause();
  await conn.opened;
  const server = [...peer.ctx.connections].find((c) => c.role === "server" && c !== peer.conn)!;
  server.send("x");
  await server.ping();
  assertEquals(got, []);
  conn.resume();
  await until(() => got.length === 1);
});

Deno.test("after a reset during a pause held messages are delivered, then onClose is called", async () => {
  const log: string[] = [];
  await using peer = await rawPeer({
    onMessage: (_, data) => log.push(data as string),
    onError: (_, error) => log.push((error as Error).name),
    onClose: (_, close) => log.push(`close ${close.code}`),
  });
  const { conn, raw } = peer;
  conn.pause();
  await raw.write(join([raw.encode(1, "a"), raw.encode(1, "b")]));
  await until(() => conn.stats().messagesReceived === 2);
  conn.send("unread makes it a reset");
  await conn.drained();
  raw.close();
  await until(() => conn.state === "closing");
  conn.resume();
  await conn.closed;
  assertEquals(log.slice(1), ["a", "b", "close 1006"]);
  assertEquals(log.length, 4);
  await assertRejects(() => conn.drained(), ConnectionClosedError);
});
