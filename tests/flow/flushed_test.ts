import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConnectionClosedError } from "../../mod.ts";
import { FlushWaiters } from "../../src/flow/flush_waiters.ts";
import { numbered } from "../support/messages.ts";
import { testRaw } from "../support/pair.ts";

const KIB = 1024;
// Twice the number that loopback accepts before a write blocks.
const MANY = 192;

testRaw(
  "flushed: resolves when the kernel has accepted all earlier messages, and not later ones",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    conn.send(numbered(0, 64 * KIB));
    const first = conn.flushed();
    for (let i = 1; i < MANY; i++) conn.send(numbered(i, 64 * KIB));
    let all = false;
    const last = conn.flushed().then(() => all = true);
    await first;
    assert(conn.queuedBytes > 0);
    assertEquals(all, false);
    for (let i = 0; i < MANY; i++) await raw.frame();
    await last;
    assertEquals(conn.queuedBytes, 0);
    assertEquals(conn.queuedMessages, 0);
  },
);

testRaw(
  "flushed: resolves in the order of the calls, and at once if nothing is queued",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn } = peer;
    await conn.flushed();
    const log: number[] = [];
    const all = [1, 2, 3].map((n) => {
      conn.send("x");
      return conn.flushed().then(() => log.push(n));
    });
    await Promise.all(all);
    assertEquals(log, [1, 2, 3]);
  },
);

testRaw(
  "flushed: waits for a fragment, and for a stream until its end",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    conn.sendFragment("a");
    await conn.flushed();
    conn.sendFragment("b", { final: true });
    await conn.flushed();
    const source = new TransformStream<string, string>(), writer = source.writable.getWriter();
    const sent = conn.sendStream(source.readable);
    let flushed = false;
    const waiting = conn.flushed().then(() => flushed = true);
    await writer.write("c");
    assertEquals((await raw.frame())!.payload, new TextEncoder().encode("a"));
    assertEquals((await raw.frame())!.payload, new TextEncoder().encode("b"));
    assertEquals((await raw.frame())!.payload, new TextEncoder().encode("c"));
    assertEquals(flushed, false);
    await writer.close();
    await Promise.all([sent, waiting]);
  },
);

testRaw(
  "flushed: rejects when the connection ends first, when the queue is dropped, and when aborted",
  async (rawPeer) => {
    await using peer = await rawPeer({ maxQueueBytes: 8 * 1024 * KIB, whenQueueFull: "close" });
    const { conn } = peer;
    for (let i = 0; i < 127; i++) conn.send(numbered(i, 64 * KIB));
    const controller = new AbortController();
    const aborted = conn.flushed({ signal: controller.signal });
    const waiting = conn.flushed();
    controller.abort("enough");
    const error = await assertRejects(() => aborted, DOMException);
    assertEquals((error as DOMException).name, "AbortError");
    while (conn.state === "open") conn.send(numbered(0, 1024 * KIB));
    await assertRejects(() => waiting, ConnectionClosedError);
    conn.terminate();
    await conn.closed;
    await assertRejects(() => conn.flushed(), ConnectionClosedError);
    await assertRejects(() => conn.flushed({ signal: AbortSignal.abort() }), DOMException);
  },
);

testRaw("flushed: doesn't resolve while pauseSending holds the data", async (rawPeer) => {
  await using peer = await rawPeer();
  const { conn, raw } = peer;
  conn.pauseSending();
  conn.send("held");
  let flushed = false;
  const waiting = conn.flushed().then(() => flushed = true);
  conn.pong("through");
  assertEquals((await raw.frame())!.opcode, 10);
  assertEquals(flushed, false);
  conn.resumeSending();
  await waiting;
});

Deno.test("flushed: cancelled waits are released, and the others keep their order", async () => {
  const waiters = new FlushWaiters();
  const log: number[] = [];
  const waits: Promise<unknown>[] = [];
  for (let i = 0; i < 1000; i++) {
    const abort = new AbortController();
    const wait = waiters.wait(i, abort.signal, () => new Error("given up"));
    waits.push(wait.then(() => log.push(i), () => {}));
    if (i % 10 !== 0) abort.abort();
  }
  assert(waiters.size < 300, `${waiters.size} are kept`);
  waiters.reached(500);
  await Promise.resolve();
  assertEquals(log, Array.from({ length: 51 }, (_, i) => 10 * i));
  waiters.fail(() => new Error("the end"));
  await Promise.all(waits);
  assertEquals([waiters.size, log.length], [0, 51]);
});

testRaw("answerPings: false leaves pings to the application", async (rawPeer) => {
  await using peer = await rawPeer({
    answerPings: false,
    onPing: (conn, payload) => {
      if (payload[0] === 2) conn.pong("mine");
    },
  });
  const { raw } = peer;
  await raw.send(9, new Uint8Array([1]));
  await raw.send(9, new Uint8Array([2]));
  const frame = (await raw.frame())!;
  assertEquals([frame.opcode, new TextDecoder().decode(frame.payload)], [10, "mine"]);
});
