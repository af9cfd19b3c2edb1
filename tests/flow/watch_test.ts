import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { type Connection, TimeoutError } from "../../mod.ts";
import { CallbackTimer, Timers } from "../../src/util/timers.ts";
import { numbered } from "../support/messages.ts";
import { pair, rawHost, rawPeer } from "../support/pair.ts";
import { standstill, until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual_clock.ts";

const KIB = 1024, SECOND = 1000, HOUR = 3600 * SECOND;
/** Silence is noticed at most a quarter of the interval late. */
const LATE = 1.25;

/** Waits until a connection has received `bytes` bytes. */
function received(conn: Connection, bytes: number): Promise<void> {
  return until(() => conn.stats().bytesReceived >= bytes);
}

Deno.test("keepAlive pings a silent peer, and closes one that stays silent", async () => {
  for (const open of [rawPeer, rawHost]) {
    const errors: unknown[] = [];
    using clock = new VirtualClock();
    await using peer = await open({
      keepAlive: { interval: 40 * SECOND, timeout: 20 * SECOND },
      onError: (_: unknown, error: unknown) => errors.push(error),
    });
    const { conn, raw } = peer;
    const stillOpen = async (seconds: number) => {
      await clock.advance(seconds * SECOND);
      // That the socket accepts our bytes isn't a sign of life.
      conn.send("anyone?");
      assertEquals((await raw.frame())!.opcode, 1);
      assertEquals(conn.state, "open");
    };
    await stillOpen(20);
    await stillOpen(19);
    await clock.advance(2 * SECOND);
    assertEquals((await raw.frame())!.opcode, 9);
    await stillOpen(18);
    await clock.advance(2 * SECOND);
    const record = await conn.closed;
    assertEquals(record.code, 1006);
    assertInstanceOf(record.cause, TimeoutError);
    assertEquals(errors, [record.cause]);
  }
});

Deno.test("keepAlive: any received byte is a sign of life", async () => {
  using clock = new VirtualClock();
  await using peer = await rawPeer({
    keepAlive: { interval: 40 * SECOND, timeout: 120 * SECOND },
  });
  const { conn, raw } = peer;
  // A message that arrives byte by byte, and never a pong.
  const bytes = raw.encode(1, "x".repeat(60));
  const before = conn.stats().bytesReceived;
  for (const [i, byte] of bytes.entries()) {
    await raw.write(new Uint8Array([byte]));
    await received(conn, before + i + 1);
    await clock.advance(100 * SECOND);
  }
  assertEquals(conn.state, "open");
});

Deno.test("keepAlive: a peer that answers stays connected, and the round trip is measured", async () => {
  let pings = 0, pongs = 0;
  using clock = new VirtualClock();
  await using both = await pair({
    keepAlive: { interval: 10 * SECOND, timeout: HOUR },
    onPong: () => pongs++,
  }, { keepAlive: false, onPing: () => pings++ });
  for (let i = 1; i <= 5; i++) {
    // The interval applies, not the timeout.
    await clock.advance(10 * LATE * SECOND);
    await until(() => pongs === i);
  }
  assertEquals(pings, 5);
  assertEquals([both.server.state, both.client.state], ["open", "open"]);
  assert(both.server.stats().lastRoundTrip !== null);
});

Deno.test("keepAlive: false turns keepalive off", async () => {
  let pings = 0;
  using clock = new VirtualClock();
  const options = { keepAlive: false, onPing: () => pings++ } as const;
  await using both = await pair(options, options);
  await clock.advance(HOUR);
  await both.client.ping();
  assertEquals([both.client.state, both.server.state, pings], ["open", "open", 1]);
});

Deno.test("keepAlive is suspended while reading has stopped, and continues with it", async () => {
  using clock = new VirtualClock();
  await using peer = await rawPeer({
    keepAlive: { interval: 20 * SECOND, timeout: 20 * SECOND },
    readAhead: 1000,
    onConnect: (conn) => conn.pause(),
    onMessage() {},
  });
  const { conn, raw } = peer;
  const before = conn.stats().bytesReceived;
  await raw.send(2, new Uint8Array(2000));
  await received(conn, before + 1000);
  await standstill(() => conn.stats().bytesReceived);
  await clock.advance(HOUR);
  assertEquals(conn.state, "open");
  conn.resume();
  await received(conn, before + 2000);
  await clock.advance(40 * LATE * SECOND);
  assertInstanceOf((await conn.closed).cause, TimeoutError);
});

Deno.test("keepAlive doesn't end a closing connection, which closeTimeout does", async () => {
  using clock = new VirtualClock();
  await using peer = await rawPeer({
    keepAlive: { interval: 10 * SECOND, timeout: 10 * SECOND },
    closeTimeout: HOUR,
  });
  peer.conn.close();
  await clock.advance(HOUR / 2);
  assertEquals(peer.conn.state, "closing");
  await peer.raw.sendClose(1000);
  assertEquals((await peer.conn.closed).wasClean, true);
});

Deno.test("keepAlive: a slow reader that makes progress is alive, although its pong comes late", async () => {
  using clock = new VirtualClock();
  await using peer = await rawPeer({
    keepAlive: { interval: 60 * SECOND, timeout: 60 * SECOND },
    maxQueueBytes: 0,
  });
  const { conn, raw } = peer;
  for (let i = 0; i < 320; i++) conn.send(numbered(i, 64 * KIB));
  const sent = () => conn.stats().bytesSent;
  let taken = await standstill(sent);
  while (conn.queuedBytes > 1024 * KIB) {
    while (sent() === taken) await raw.frame();
    taken = sent();
    await clock.advance(50 * SECOND);
  }
  assert(clock.now > 120 * SECOND * LATE);
  assertEquals(conn.state, "open");
});

Deno.test("sendTimeout: a peer that reads nothing while data are queued is terminated", async () => {
  const errors: unknown[] = [];
  using clock = new VirtualClock();
  await using peer = await rawPeer({
    keepAlive: false,
    sendTimeout: 60 * SECOND,
    onError: (_, error) => errors.push(error),
  });
  const { conn } = peer;
  for (let i = 0; i < 192; i++) conn.send(numbered(i, 64 * KIB));
  await standstill(() => conn.stats().bytesSent);
  await clock.advance(59 * SECOND);
  assertEquals(conn.state, "open");
  await clock.advance(60 * SECOND * LATE);
  const record = await conn.closed;
  assertEquals([record.code, record.sent], [1006, null]);
  assertInstanceOf(record.cause, TimeoutError);
  assertEquals(errors, [record.cause]);
  assert(record.unsentMessages > 60);
});

Deno.test("sendTimeout: progress restarts it, and with an empty queue it doesn't run", async () => {
  using clock = new VirtualClock();
  await using peer = await rawPeer({ keepAlive: false, sendTimeout: 100 * SECOND });
  const { conn, raw } = peer;
  conn.send("soon gone");
  await raw.frame();
  await clock.advance(HOUR);
  assertEquals(conn.state, "open");
  for (let i = 0; i < 192; i++) conn.send(numbered(i, 64 * KIB));
  const sent = () => conn.stats().bytesSent;
  let taken = await standstill(sent);
  while (conn.queuedBytes > 1024 * KIB) {
    while (sent() === taken) await raw.frame();
    taken = sent();
    await clock.advance(90 * SECOND);
    assertEquals(conn.state, "open");
  }
});

Deno.test("sendTimeout is off by default", async () => {
  using clock = new VirtualClock();
  await using peer = await rawPeer({ keepAlive: false });
  for (let i = 0; i < 192; i++) peer.conn.send(numbered(i, 64 * KIB));
  await standstill(() => peer.conn.stats().bytesSent);
  await clock.advance(100 * HOUR);
  assertEquals(peer.conn.state, "open");
});

Deno.test("timers fire in the order of their times, also when armed and disarmed by timers", async () => {
  using clock = new VirtualClock();
  const timers = new Timers(), fired: [number, number][] = [];
  const alarms = Array.from({ length: 50 }, (_, i) =>
    new CallbackTimer(() => {
      fired.push([clock.now, i]);
      if (i === 10) timers.clear(alarms[20]);
      if (i === 30) timers.set(alarms[0], 0);
      if (i === 49) timers.set(new CallbackTimer(() => fired.push([clock.now, 50])), 1);
    }));
  for (let i = 49; i >= 0; i--) timers.set(alarms[i], 5 + i);
  timers.set(alarms[40], 45); // replaces the earlier time
  timers.clear(alarms[5]);
  timers.clear(alarms[5]);
  await clock.advance(100);
  const expected = alarms.map((_, i): [number, number] => [5 + i, i])
    .filter(([, i]) => i !== 5 && i !== 20);
  expected.splice(expected.findIndex(([, i]) => i === 31), 0, [35, 0]);
  assertEquals(fired, [...expected, [55, 50]]);
});
