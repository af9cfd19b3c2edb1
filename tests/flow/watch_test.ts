import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { TimeoutError } from "../../mod.ts";
import { CallbackTimer, Timers } from "../../src/util/timers.ts";
import { numbered } from "../support/messages.ts";
import { pair, rawHost, rawPeer } from "../support/pair.ts";
import { turn, until } from "../support/until.ts";

const KIB = 1024;

/** Waits for the clock, where a time that passes without anything is what is tested. */
function elapse(ms: number): Promise<void> {
  const start = performance.now();
  return until(() => performance.now() - start >= ms);
}

Deno.test("keepAlive pings a silent peer, and closes one that stays silent", async () => {
  for (const open of [rawPeer, rawHost]) {
    const errors: unknown[] = [];
    const start = performance.now();
    await using peer = await open({
      keepAlive: { interval: 40, timeout: 40 },
      onError: (_: unknown, error: unknown) => errors.push(error),
    });
    const { conn, raw } = peer;
    const ping = (await raw.frame())!;
    assertEquals(ping.opcode, 9);
    assert(performance.now() - start >= 39);
    // The socket takes what we write: that is no life.
    const feeding = setInterval(() => conn.state === "open" && conn.send("anyone?"), 5);
    const record = await conn.closed;
    clearInterval(feeding);
    assert(performance.now() - start >= 78);
    assertEquals(record.code, 1006);
    assertInstanceOf(record.cause, TimeoutError);
    assertEquals(errors, [record.cause]);
  }
});

Deno.test("keepAlive: any received byte is life", async () => {
  await using peer = await rawPeer({ keepAlive: { interval: 40, timeout: 120 } });
  const { conn, raw } = peer;
  // A message that comes byte by byte, and never a pong.
  const bytes = raw.encode(1, "x".repeat(60));
  for (const byte of bytes) {
    await raw.write(new Uint8Array([byte]));
    await elapse(10);
  }
  assertEquals(conn.state, "open");
  assert(bytes.length * 10 > 2 * 160);
});

Deno.test("keepAlive: a peer that answers stays, and measures the round trip", async () => {
  let pings = 0;
  await using both = await pair({ keepAlive: { interval: 10, timeout: 4000 } }, {
    onPing: () => pings++,
  });
  const start = performance.now();
  await until(() => pings >= 5);
  assert(performance.now() - start < 900, "the interval counts, not the timeout");
  assertEquals([both.server.state, both.client.state], ["open", "open"]);
  assert(both.server.stats().lastRoundTrip !== null);
});

Deno.test("keepAlive: false is off", async () => {
  await using peer = await rawPeer({ keepAlive: false });
  assertEquals(peer.conn.state, "open");
  let pings = 0;
  await using both = await pair({ keepAlive: false, onPing: () => pings++ }, {
    keepAlive: false,
    onPing: () => pings++,
  });
  await elapse(50);
  assertEquals([both.client.state, pings], ["open", 0]);
});

Deno.test("keepAlive stands still while reading has stopped, and goes on with it", async () => {
  await using peer = await rawPeer({
    keepAlive: { interval: 20, timeout: 20 },
    readAhead: 1000,
    onConnect: (conn) => conn.pause(),
    onMessage() {},
  });
  const { conn, raw } = peer;
  await raw.send(2, new Uint8Array(2000));
  await elapse(200);
  assertEquals(conn.state, "open");
  conn.resume();
  assertInstanceOf((await conn.closed).cause, TimeoutError);
});

Deno.test("keepAlive doesn't end a closing connection: that is closeTimeout's", async () => {
  await using peer = await rawPeer({ keepAlive: { interval: 10, timeout: 10 } });
  peer.conn.close();
  await elapse(100);
  assertEquals(peer.conn.state, "closing");
  await peer.raw.sendClose(1000);
  assertEquals((await peer.conn.closed).wasClean, true);
});

Deno.test("keepAlive: a slow reader that still takes something is alive, though its pong is far behind", async () => {
  await using peer = await rawPeer({
    keepAlive: { interval: 60, timeout: 60 },
    maxQueueBytes: 0,
  });
  const { conn, raw } = peer;
  const COUNT = 320;
  for (let i = 0; i < COUNT; i++) conn.send(numbered(i, 64 * KIB));
  const start = performance.now();
  // Stops while the system still makes us wait.
  let messages = 0;
  while (conn.queuedBytes > 1024 * KIB) {
    if ((await raw.frame())!.opcode === 2) messages++;
    await until(() => performance.now() - start > messages * 3);
  }
  assert(performance.now() - start > 240);
  assertEquals(conn.state, "open");
});

Deno.test("sendTimeout: a peer that takes no byte while data are queued is terminated", async () => {
  const errors: unknown[] = [];
  const start = performance.now();
  await using peer = await rawPeer({
    sendTimeout: 60,
    onError: (_, error) => errors.push(error),
  });
  const { conn } = peer;
  for (let i = 0; i < 192; i++) conn.send(numbered(i, 64 * KIB));
  const record = await conn.closed;
  assert(performance.now() - start >= 59);
  assertEquals([record.code, record.sent], [1006, null]);
  assertInstanceOf(record.cause, TimeoutError);
  assertEquals(errors, [record.cause]);
  assert(record.unsentMessages > 60);
});

Deno.test("sendTimeout: progress starts it anew, and with nothing queued it doesn't run", async () => {
  await using peer = await rawPeer({ sendTimeout: 100 });
  const { conn, raw } = peer;
  conn.send("soon gone");
  await raw.frame();
  await elapse(250);
  assertEquals(conn.state, "open");
  for (let i = 0; i < 192; i++) conn.send(numbered(i, 64 * KIB));
  const start = performance.now();
  for (let i = 0; i < 192; i++) {
    await raw.frame();
    await until(() => performance.now() - start > i * 2);
  }
  await conn.drained();
  assertEquals(conn.state, "open");
});

Deno.test("sendTimeout is off by default", async () => {
  await using peer = await rawPeer();
  for (let i = 0; i < 192; i++) peer.conn.send(numbered(i, 64 * KIB));
  await elapse(50);
  assertEquals(peer.conn.state, "open");
});

Deno.test("timers fire in the order of their times, also when armed and disarmed from within", async () => {
  const timers = new Timers(), fired: number[] = [];
  let done = false;
  const alarms = Array.from({ length: 50 }, (_, i) =>
    new CallbackTimer(() => {
      fired.push(i);
      if (i === 10) timers.clear(alarms[20]);
      if (i === 30) timers.set(alarms[0], 0);
      if (i === 49) timers.set(new CallbackTimer(() => done = true), 1);
    }));
  for (let i = 49; i >= 0; i--) timers.set(alarms[i], 5 + i);
  timers.set(alarms[40], 45); // in place of the earlier arming
  timers.clear(alarms[5]);
  timers.clear(alarms[5]);
  await until(() => done);
  await turn();
  const expected = alarms.map((_, i) => i).filter((i) => i !== 5 && i !== 20);
  assertEquals(fired.filter((i) => i !== 0), expected.filter((i) => i !== 0));
  assertEquals(fired.filter((i) => i === 0).length, 2);
});
