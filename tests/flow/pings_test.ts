import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  type Connection,
  ConnectionClosedError,
  InvalidStateError,
  QueueFullError,
  TimeoutError,
} from "../../mod.ts";
import { Pings } from "../../src/engine/pings.ts";
import { Timers } from "../../src/util/timers.ts";
import { repeat } from "../support/bytes.ts";
import { upTo } from "../support/messages.ts";
import { testPair, testRaw } from "../support/pair.ts";
import { turn, until } from "../support/until.ts";

/** Sends pings in groups, and waits for each group, since only 64 may wait to be sent. */
async function sendPings(
  conn: Connection,
  count: number,
  options = {},
): Promise<Promise<number>[]> {
  const rounds: Promise<number>[] = [];
  for (let sent = 0; sent < count; await turn()) {
    for (let i = 0; i < 32 && sent < count; i++, sent++) rounds.push(conn.ping(undefined, options));
  }
  return rounds;
}

const heap = () => {
  (globalThis as { gc?: () => void }).gc?.();
  return Deno.memoryUsage().heapUsed;
};

testRaw(
  "fault 5: a ping that is cancelled by timeout or signal is released at once",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    const frames = raw.frames();
    for (let i = 0; i < 6; i++) {
      const abort = new AbortController();
      const options = i % 2 === 0 ? { signal: abort.signal } : { timeout: 1 };
      const rounds = await sendPings(conn, 500, options);
      abort.abort();
      for (const round of rounds) {
        if (i % 2 === 0) await assertRejects(() => round, DOMException);
        else await assertRejects(() => round, TimeoutError);
      }
    }
    conn.terminate();
    await frames;
  },
);

testRaw(
  "fault 5: the number of unanswered pings is limited, and a pong makes room",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    const payloads: Uint8Array[] = [];
    const reading = (async () => {
      for (let frame = await raw.frame(); frame !== null; frame = await raw.frame()) {
        payloads.push(frame.payload);
      }
    })();
    const rounds = await sendPings(conn, 1024);
    const error = await assertRejects(() => conn.ping("too many"), QueueFullError, "1024");
    assertEquals(error.data, "too many");
    await until(() => payloads.length === 1024);
    await raw.send(10, payloads[1022]);
    await Promise.all(rounds.slice(0, 1023));
    await sendPings(conn, 1023);
    await assertRejects(() => conn.ping(), QueueFullError, "1024");
    conn.terminate();
    await reading;
  },
);

testRaw(
  "fault 5: pongs without a ping take no time, however many pings wait",
  async (rawPeer) => {
    const pongs = { count: 0 };
    await using peer = await rawPeer({ onPong: () => pongs.count++ });
    const { conn, raw } = peer;
    const frames = raw.frames();
    await sendPings(conn, 1000);
    const start = performance.now();
    // 50 KB of pongs.
    await raw.write(repeat(raw.encode(10, "nope"), 5000));
    await until(() => pongs.count === 5000);
    assert(performance.now() - start < 5000);
    conn.terminate();
    await frames;
  },
);

Deno.test("fault 5: 90,000 cancelled pings leave no memory behind", async () => {
  const timers = new Timers(), pings = new Pings();
  const abort = () => new AbortController();
  const before = heap();
  for (let i = 0; i < 90_000; i++) {
    const controller = abort();
    const payload = new Uint8Array([i >> 16, i >> 8, i]);
    const round = pings.wait(payload, 60_000, controller.signal, timers, () => 0);
    controller.abort();
    await assertRejects(() => round, DOMException);
    assert(!pings.full);
  }
  const start = performance.now();
  for (let i = 0; i < 12_500; i++) pings.answered(new Uint8Array([1, 2]));
  assert(performance.now() - start < 2000);
  // Without access to the collector the figure isn't meaningful.
  if ("gc" in globalThis) assert(heap() - before < 5_000_000);
});

Deno.test("a pong answers its ping and all earlier ones, and the latest of those with equal payloads", async () => {
  const timers = new Timers(), pings = new Pings();
  const settled: number[] = [];
  const payload = (text: string) => new TextEncoder().encode(text);
  const controllers = upTo(6).map(() => new AbortController());
  for (const [i, text] of ["a", "x", "b", "x", "c", "x"].entries()) {
    pings.wait(payload(text), Infinity, controllers[i].signal, timers, () => 0)
      .then(() => settled.push(i), () => settled.push(-i));
  }
  pings.answered(payload("nothing"));
  await turn();
  assertEquals(settled, []);
  // The last of the three is cancelled, so the pong answers the one before.
  controllers[5].abort();
  await turn();
  assertEquals(settled.splice(0), [-5]);
  pings.answered(payload("x"));
  await turn();
  assertEquals(settled.splice(0), [0, 1, 2, 3]);
  pings.answered(payload("x"));
  await turn();
  assertEquals(settled, []);
  pings.fail(() => new Error("closed"));
  await turn();
  assertEquals(settled, [-4]);
});

testPair(
  "fault 58: ping() rejects in the wrong state, and throws for an invalid argument",
  async (pair) => {
    await using both = await pair();
    const { ctx, client, server } = both;
    const connecting = ctx.connect("ws://127.0.0.1:1/");
    await assertRejects(() => connecting.ping(), Error, "connecting");
    await connecting.closed;
    await assertRejects(() => connecting.ping(), ConnectionClosedError);
    server.shutdownRead();
    await assertRejects(() => server.ping(), InvalidStateError, "shutdownRead");
    assertThrows(() => client.ping("x".repeat(126)), RangeError, "126");
    assertThrows(() => client.ping(5 as unknown as string), TypeError);
    assertThrows(() => client.ping("", { timeout: -1 }), RangeError, "-1");
    assertThrows(() => client.ping("", { timeout: "5" as unknown as number }), TypeError);
    assertThrows(() => client.ping("", { signal: {} as AbortSignal }), TypeError, "AbortSignal");
    client.close();
    const refused = client.ping("back");
    assertEquals((await assertRejects(() => refused, ConnectionClosedError)).data, "back");
    // An unhandled rejection doesn't end the process.
    client.ping();
    await turn();
  },
);
