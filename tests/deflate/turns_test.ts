import { assert, assertEquals } from "@std/assert";
import zlib from "node:zlib";
import { Deflater } from "../../src/deflate/deflater.ts";
import { workQueue } from "../../src/deflate/work_queue.ts";
import { deflateInTurns, inflater, json, noise, packInTurns, push, TAKEOVER } from "./helpers.ts";
import { turn } from "../support/until.ts";

function worker(name: string, slices: number, log: string[]) {
  return {
    slice(): boolean {
      log.push(name);
      return --slices > 0;
    },
  };
}

Deno.test("turns go round robin", async () => {
  const log: string[] = [];
  workQueue.enqueue(worker("a", 3, log));
  workQueue.enqueue(worker("b", 1, log));
  workQueue.enqueue(worker("c", 2, log));
  assertEquals(log, [], "work must not run before the next turn of the event loop");
  while (workQueue.size > 0) await turn();
  assertEquals(log.join(""), "abcaca");
});

Deno.test("cancelled work gets no turn", async () => {
  const log: string[] = [];
  const a = worker("a", 100, log);
  workQueue.enqueue(a);
  workQueue.enqueue(worker("b", 2, log));
  workQueue.cancel(a);
  workQueue.cancel(a);
  while (workQueue.size > 0) await turn();
  assertEquals(log.join(""), "bb");
});

Deno.test("cancelling a hundred thousand entries from the end takes linear time", async () => {
  const log: string[] = [];
  const leaving = Array.from({ length: 100_000 }, () => worker("gone", 1, log));
  const staying = Array.from({ length: 10 }, () => worker("a", 1, log));
  for (const work of [...leaving, ...staying]) workQueue.enqueue(work);
  const start = performance.now();
  // From the end, since a search from the front would take longest there.
  for (const work of leaving.toReversed()) workQueue.cancel(work);
  // A linear search took minutes for this number.
  assert(performance.now() - start < 2000);
  assertEquals(workQueue.size, 10);
  while (workQueue.size > 0) await turn();
  assertEquals(log.join(""), "aaaaaaaaaa");
});

Deno.test("cancelled work may be queued again at the end, and no work is queued twice", async () => {
  const log: string[] = [];
  const a = worker("a", 2, log);
  workQueue.enqueue(a);
  workQueue.enqueue(worker("b", 2, log));
  workQueue.cancel(a);
  workQueue.enqueue(a);
  workQueue.enqueue(a);
  assertEquals(workQueue.size, 2);
  while (workQueue.size > 0) await turn();
  assertEquals(log.join(""), "baba");
});

Deno.test("fault 8: final blocks count for the length of a turn", async () => {
  const block = new Uint8Array(zlib.deflateRawSync(new Uint8Array(8).fill(7)));
  const { inflater: codec, got } = inflater();
  // With a full window, which has to be set up again each time.
  const full = new Deflater(TAKEOVER);
  await push(codec, await deflateInTurns(full, json(100_000)));
  full.close();
  workQueue.enqueue(worker("reset", 1, []));
  while (workQueue.size > 0) await turn();
  let atOnce = 0;
  while (codec.push(block, 0, block.length, true, () => {})) atOnce++;
  // Each takes 8 to 19 µs, so these take a millisecond. If only bytes counted, there would be 100,000.
  assert(atOnce > 0 && atOnce <= 64, String(atOnce));
  while (workQueue.size > 0) await turn();
  assertEquals(got.messages.length, atOnce + 2);
  codec.close();
});

Deno.test("messages of one byte count for the length of a turn, too", async () => {
  const letter = Uint8Array.of(0x4a, 0x04, 0x00);
  for (const takeover of [true, false]) {
    workQueue.enqueue(worker("reset", 1, []));
    while (workQueue.size > 0) await turn();
    const { inflater: codec, got } = inflater({ takeover });
    let atOnce = 0;
    while (codec.push(letter, 0, letter.length, true, () => {})) atOnce++;
    assert(atOnce > 100 && atOnce <= 1024, String(atOnce));
    while (workQueue.size > 0) await turn();
    assertEquals(got.texts, Array(atOnce + 1).fill("a"));
    codec.close();
  }
});

Deno.test("each slice has a turn of its own", async () => {
  let slices = 0, between = 0;
  workQueue.enqueue({
    slice(): boolean {
      assertEquals(between, slices, "two slices in one turn");
      slices++;
      queueMicrotask(() => between++);
      return slices < 10;
    },
  });
  while (workQueue.size > 0) await turn();
  assertEquals(slices, 10);
});

Deno.test("short work is done at once up to the size of some slices, and then in turns", async () => {
  workQueue.enqueue(worker("reset", 1, []));
  while (workQueue.size > 0) await turn();
  const deflater = new Deflater(TAKEOVER);
  const packed = deflater.deflate(new Uint8Array(65536), true).slice();
  deflater.close();
  // One message for each connection, as if all were read in one turn of the event loop.
  const codecs = Array.from({ length: 40 }, () => inflater({ takeover: false }));
  let atOnce = 0, later = 0;
  for (const { inflater: codec } of codecs) {
    if (codec.push(packed, 0, packed.length, true, () => later++)) atOnce++;
  }
  // 1 MiB is done at once, including the cost of the calls themselves.
  assert(atOnce > 12 && atOnce <= 16, String(atOnce));
  assertEquals([workQueue.size, later], [40 - atOnce, 0]);
  while (workQueue.size > 0) await turn();
  assertEquals(later, 40 - atOnce);
  for (const { inflater: codec, got } of codecs) {
    assertEquals(got.messages.map(({ length }) => length), [65536]);
    codec.close();
  }
});

Deno.test("a short message overtakes the long one of another connection", async () => {
  const long = new Deflater(TAKEOVER), short = new Deflater(TAKEOVER);
  const order: string[] = [];
  await Promise.all([
    deflateInTurns(long, json(4 << 20)).then(() => order.push("long")),
    deflateInTurns(short, json(100_000)).then(() => order.push("short")),
  ]);
  assertEquals(order, ["short", "long"]);
  long.close();
  short.close();
});

// How late timers are is a figure, which bench/deflate.ts prints. That they fire is behaviour.
Deno.test("timers fire while a large message is compressed and inflated", async () => {
  const message = new Uint8Array(16 << 20);
  const pattern = json(1 << 20);
  for (let at = 0; at < message.length; at += pattern.length) message.set(pattern, at);
  message.set(noise(2 << 20), 2 << 20);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const deflater = new Deflater({ ...TAKEOVER, level: 4 });
  const pieces = await packInTurns(deflater, message);
  deflater.close();
  const packing = ticks;
  const { inflater: codec, got } = inflater();
  let length = 0;
  got.inflated = (_source, start, end) => {
    length += end - start;
  };
  for (const piece of pieces) await push(codec, piece, false);
  await push(codec, new Uint8Array(0));
  clearInterval(timer);
  codec.close();
  assertEquals(length, message.length);
  assert(packing > 5, `${packing} ticks while packing`);
  assert(ticks - packing > 5, `${ticks - packing} ticks while inflating`);
});
