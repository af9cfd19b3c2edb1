import { assert, assertEquals } from "@std/assert";
import { type Connection, QueueFullError } from "../../mod.ts";
import { workQueue } from "../../src/deflate/work_queue.ts";
import { terms } from "../hostile/formula.ts";
import { measure } from "../support/child.ts";
import { testPair } from "../support/pair.ts";
import { seeded } from "../support/random.ts";
import { until } from "../support/until.ts";
import { json } from "./helpers.ts";

interface Cost {
  waiting: number;
  compressed: number;
  counts: number[];
  queuedBytes: number;
}

/** Measures in a process of its own. */
function costOf(...args: unknown[]): Promise<Cost> {
  return measure(new URL("./queue_probe.ts", import.meta.url), ...args);
}

const MAX = 2 << 20;

for (const role of ["server", "client"]) {
  for (const [compress, size] of [[true, 0], [true, 1], [true, 500], [true, 9000], [false, 1]]) {
    const kind = compress ? "compressed messages behind a long one" : "messages";
    Deno.test(`fault 6: a ${role}'s full queue of ${kind} of ${size} bytes stays within the formula`, async () => {
      const { waiting, compressed, counts } = await costOf(role, compress, size, MAX);
      const { queue, codecs } = terms({ maxQueueBytes: MAX + 100_000, compression: true });
      const bound = queue + codecs;
      assert(waiting < bound && compressed < bound, `${waiting}, ${compressed} of ${bound} bytes`);
      // A lower bound shows that the queue was really full.
      assert(counts[0] * Number(size) > MAX * 0.9 || counts[0] > MAX / 10, String(counts[0]));
    });
  }
}

/** Sends long and short messages, whole and fragmented; returns the expected messages. */
function sendMix(conn: Connection, count: number, seed: number): (string | Uint8Array)[] {
  const next = seeded(seed);
  const sent: (string | Uint8Array)[] = [];
  for (let i = 0; i < count; i++) {
    const kind = next();
    const length = kind < 0.01 ? 100_000 : kind < 0.1 ? 10_000 : Math.floor(next() * 50);
    const bytes = json(length, i);
    const compress = kind < 0.8 ? true : undefined;
    if (next() < 0.1) {
      const cut = Math.floor(length / 2);
      conn.sendFragment(bytes.subarray(0, cut), { binary: true, compress });
      conn.sendFragment(bytes.subarray(cut), { final: true });
      sent.push(bytes);
    } else if (next() < 0.5) {
      conn.send(bytes, { compress });
      sent.push(bytes);
    } else {
      const text = `${i} ${"ä".repeat(Math.floor(length / 2))}`;
      conn.send(text, { compress });
      sent.push(text);
    }
  }
  return sent;
}

testPair(
  "fault 6: messages that share a place arrive complete and in order, from both roles",
  async (open) => {
    for (const contextTakeover of [true, false]) {
      const compression = { contextTakeover };
      await using ends = await open(
        { compression, maxQueueBytes: 0 },
        { compression, maxQueueBytes: 0 },
      );
      for (const [from, to] of [[ends.server, ends.client], [ends.client, ends.server]]) {
        from.send(json(300_000));
        const sent = sendMix(from, 3000, 7);
        assertEquals(from.queuedMessages, 3001);
        const total = sent.reduce((sum, { length }) => sum + length, 300_000);
        assert(from.queuedBytes >= total);
        assertEquals(((await to.receive()) as Uint8Array).length, 300_000);
        for (const [i, message] of sent.entries()) {
          const got = await to.receive();
          if (typeof message === "string") assert(got === message, `message ${i}`);
          else assertEquals(got, message, `message ${i}`);
        }
        await from.drained();
        await until(() => from.queuedMessages === 0);
        assertEquals([from.queuedBytes, workQueue.size], [0, 0]);
      }
    }
  },
);

testPair("fault 6: many prepared messages after a long one share a place, too", async (open) => {
  await using ends = await open({ compression: true }, { compression: true });
  const prepared = ends.ctx.prepare("x".repeat(1200));
  ends.server.send(json(300_000));
  for (let i = 0; i < 5000; i++) ends.server.send(prepared);
  assertEquals(((await ends.client.receive()) as Uint8Array).length, 300_000);
  for (let i = 0; i < 5000; i++) assertEquals(await ends.client.receive(), "x".repeat(1200));
});

testPair(
  "fault 6: dropping a queue also drops the messages that wait to be compressed",
  async (open) => {
    await using ends = await open({
      compression: { threshold: 0 },
      maxQueueBytes: 400_000,
      whenQueueFull: "close",
      closeTimeout: 2000,
    }, { compression: true });
    ends.server.send(json(300_000));
    let count = 1;
    while (ends.server.state === "open") count += Number(ends.server.send(json(3)) || 1);
    assert(count > 1024);
    assertEquals([ends.server.queuedMessages, ends.server.queuedBytes], [0, 0]);
    const record = await ends.server.closed;
    assertEquals(record.unsentMessages, count - 1);
    assertEquals((await ends.client.closed).code, 1013);
    assertEquals(workQueue.size, 0);
  },
);

testPair(
  "fault 6: at the limit of small messages send throws, and works again after they are sent",
  async (open) => {
    await using ends = await open(
      { compression: { threshold: 0 }, maxQueueBytes: 10_000 },
      { compression: true },
    );
    let got = 0;
    ends.client.on({ onMessage: () => void got++ });
    ends.server.pauseSending();
    let count = 0;
    try {
      for (;; count++) ends.server.send("");
    } catch (error) {
      assert(error instanceof QueueFullError);
    }
    assert(count >= 1024 && count < 20_000, String(count));
    ends.server.resumeSending();
    await ends.server.drained();
    await until(() => ends.server.queuedMessages === 0);
    assert(ends.server.send("again"));
    await until(() => got === count + 1);
  },
);
