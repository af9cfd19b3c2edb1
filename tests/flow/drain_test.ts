import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConnectionClosedError } from "../../mod.ts";
import { numbered, numberOf, upTo } from "../support/messages.ts";
import { pair, RAW_PAIRS, rawPeer, VERSIONS } from "../support/pair.ts";
import { until } from "../support/until.ts";

const KIB = 1024;
// Twice the number that loopback accepts before a write blocks.
const MANY = 192;

for (const [ours, open] of Object.entries(RAW_PAIRS)) {
  Deno.test(`when a stalled peer reads again, drained() resolves, onDrain is called once, and all messages arrive in order: ${ours}`, async () => {
    const log: string[] = [];
    await using peer = await open({ onDrain: () => log.push("onDrain") });
    const { conn, raw } = peer;
    for (let i = 0; i < MANY; i++) conn.send(numbered(i, 64 * KIB));
    const waited = [
      conn.drained().then(() => log.push("first")),
      conn.drained().then(() => log.push("second")),
    ];
    for (let i = 0; i < MANY; i++) {
      if (conn.queuedBytes > 0) assertEquals(log, []);
      assertEquals(numberOf((await raw.frame())!.payload), i);
    }
    await Promise.all(waited);
    await until(() => log.length >= 3);
    conn.close();
    await raw.next(8);
    assertEquals(log, ["first", "second", "onDrain"]);
    assertEquals(conn.stats().drains, 1);
  });
}

Deno.test("code that awaits drained() continues before onDrain is called", async () => {
  const log: string[] = [];
  const drained = Promise.withResolvers<void>();
  await using peer = await rawPeer({
    onDrain() {
      log.push("onDrain");
      drained.resolve();
    },
  });
  peer.conn.send("x");
  await peer.conn.drained();
  log.push("drained");
  await drained.promise;
  assertEquals(log, ["drained", "onDrain"]);
});

for (const version of VERSIONS) {
  Deno.test(`onDrain isn't armed by messages at or below lowWaterMark: HTTP/${version}`, async () => {
    const drains: number[] = [];
    await using peer = await pair({}, {
      lowWaterMark: 10,
      highWaterMark: 20,
      onDrain: (conn) => drains.push(conn.queuedBytes),
    }, version);
    // Not a ping, which overtakes queued messages, so that its pong may come before they are written.
    peer.client.send("0123456789");
    await until(() => peer.client.queuedBytes === 0);
    assertEquals(drains, []);
    peer.client.send("0123456789a");
    await until(() => drains.length > 0);
    assertEquals(drains, [0]);
  });
}

Deno.test("onDrain is called at or below lowWaterMark, before the queue is empty", async () => {
  const drains: number[] = [];
  await using peer = await rawPeer({
    lowWaterMark: 128 * KIB,
    highWaterMark: 128 * KIB,
    onDrain: (conn) => drains.push(conn.queuedBytes),
  });
  for (let i = 0; i < 4; i++) peer.conn.send(numbered(i, 64 * KIB));
  for (let i = 0; i < 4; i++) await peer.raw.frame();
  await until(() => peer.conn.queuedBytes === 0);
  // Each write contains one of these messages, so the queue is exactly at the mark.
  assertEquals(drains, [128 * KIB]);
});

Deno.test("a send in onDrain arms it again, and the next call comes later", async () => {
  let drains = 0, inside = false;
  const done = Promise.withResolvers<void>();
  await using peer = await rawPeer({
    onDrain(conn) {
      assert(!inside);
      inside = true;
      drains++;
      if (drains < 20) {
        conn.send(numbered(drains, 100));
        conn.send(numbered(drains, 70 * KIB));
      } else {
        done.resolve();
      }
      inside = false;
    },
  });
  peer.conn.send("go");
  const reading = (async () => {
    for (let i = 0; i < 39; i++) await peer.raw.frame();
  })();
  await Promise.all([done.promise, reading]);
  await peer.conn.drained();
  assertEquals(drains, 20);
});

for (const version of VERSIONS) {
  Deno.test(`empty messages and control frames don't arm onDrain: HTTP/${version}`, async () => {
    let drains = 0;
    await using peer = await pair({}, { onDrain: () => drains++ }, version);
    peer.client.send("");
    await peer.client.ping("payload");
    assertEquals(drains, 0);
    await peer.client.drained(); // at once
  });
}

for (const [ours, open] of Object.entries(RAW_PAIRS)) {
  Deno.test(`onDrain is called while closing, too: ${ours}`, async () => {
    const states: string[] = [];
    await using peer = await open({ onDrain: (conn) => states.push(conn.state) });
    for (let i = 0; i < MANY; i++) peer.conn.send(numbered(i, 64 * KIB));
    const waiting = peer.conn.drained();
    peer.conn.close();
    for (let i = 0; i < MANY; i++) assertEquals(numberOf((await peer.raw.frame())!.payload), i);
    await waiting;
    assertEquals((await peer.raw.frame())!.opcode, 8);
    await peer.raw.sendClose(1000);
    // The server has to end the stream.
    if (peer.raw.role === "server") await peer.raw.conn.closeWrite();
    assertEquals((await peer.conn.closed).wasClean, true);
    assertEquals(states, ["closing"]);
  });
}

for (const [ours, open] of Object.entries(RAW_PAIRS)) {
  Deno.test(`drained() rejects when the connection closes first, and onDrain isn't called: ${ours}`, async () => {
    let drains = 0;
    await using peer = await open({ onDrain: () => drains++ });
    for (let i = 0; i < MANY; i++) peer.conn.send(numbered(i, 64 * KIB));
    const waiting = assertRejects(() => peer.conn.drained(), ConnectionClosedError);
    peer.conn.terminate();
    await waiting;
    await assertRejects(() => peer.conn.drained(), ConnectionClosedError, "closed");
    await peer.conn.closed;
    assertEquals(drains, 0);
  });
}

for (const act of ["close", "terminate", "pause", "resume"] as const) {
  Deno.test(`${act} in onDrain has no bad effects`, async () => {
    let drains = 0;
    await using both = await pair({}, {
      onDrain(conn) {
        drains++;
        conn[act]();
      },
    });
    const got: string[] = [];
    both.server.on({ onMessage: (_, data) => got.push(data as string) });
    both.client.send("x");
    await until(() => drains === 1);
    if (act === "pause" || act === "resume") both.client.close();
    await both.client.closed;
    await both.server.closed;
    assertEquals([drains, both.client.isPaused], [1, false]);
    assertEquals(got, ["x"]);
  });
}

for (const version of VERSIONS) {
  Deno.test(`a sender that continues in onDrain never has more queued than its mark and one message: HTTP/${version}`, async () => {
    let next = 0;
    const got: number[] = [];
    const done = Promise.withResolvers<void>();
    await using both = await pair({}, {
      onMessage(_, data) {
        got.push(numberOf(data));
        if (got.length === MANY) done.resolve();
      },
    }, version);
    const { server } = both;
    const pump = () => {
      while (next < MANY && server.send(numbered(next++, 64 * KIB)));
    };
    server.on({ onDrain: pump });
    pump();
    await done.promise;
    assertEquals(got, upTo(MANY));
    assert(server.stats().queueHighWater <= 128 * KIB);
  });
}
