import { assert, assertEquals } from "@std/assert";
import { Deflater } from "../../src/deflate/deflater.ts";
import { cancel, enqueue, turnsWaiting } from "../../src/deflate/work_queue.ts";
import { deflateInTurns, inflater, json, noise, packInTurns, push, TAKEOVER } from "./helpers.ts";

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

function worker(name: string, slices: number, log: string[]) {
  return {
    slice(): boolean {
      log.push(name);
      return --slices > 0;
    },
  };
}

Deno.test("Turns go round", async () => {
  const log: string[] = [];
  enqueue(worker("a", 3, log));
  enqueue(worker("b", 1, log));
  enqueue(worker("c", 2, log));
  assertEquals(log, [], "nothing runs before the next turn of the event loop");
  while (turnsWaiting() > 0) await turn();
  assertEquals(log.join(""), "abcaca");
});

Deno.test("What leaves gets no turn", async () => {
  const log: string[] = [];
  const a = worker("a", 100, log);
  enqueue(a);
  enqueue(worker("b", 2, log));
  cancel(a);
  cancel(a);
  while (turnsWaiting() > 0) await turn();
  assertEquals(log.join(""), "bb");
});

Deno.test("One slice a turn: a microtask between any two", async () => {
  let slices = 0, between = 0;
  enqueue({
    slice(): boolean {
      assertEquals(between, slices, "two slices in one go");
      slices++;
      queueMicrotask(() => between++);
      return slices < 10;
    },
  });
  while (turnsWaiting() > 0) await turn();
  assertEquals(slices, 10);
});

Deno.test("Short work is done at once until there is as much as some slices, then once in turn", async () => {
  enqueue(worker("reset", 1, []));
  while (turnsWaiting() > 0) await turn();
  const deflater = new Deflater(TAKEOVER);
  const packed = deflater.deflate(new Uint8Array(65536), true).slice();
  deflater.close();
  // One connection each, as they might all be read in one turn of the loop.
  const codecs = Array.from({ length: 40 }, () => inflater({ takeover: false }));
  let atOnce = 0, later = 0;
  for (const { inflater: codec } of codecs) {
    if (codec.push(packed, 0, packed.length, true, () => later++)) atOnce++;
  }
  assertEquals([atOnce, later], [16, 0]);
  assertEquals(turnsWaiting(), 24);
  while (turnsWaiting() > 0) await turn();
  assertEquals(later, 24);
  for (const { inflater: codec, got } of codecs) {
    assertEquals(got.messages.map(({ length }) => length), [65536]);
    codec.close();
  }
});

Deno.test("A short message overtakes another connection's long one", async () => {
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

// How late timers get is a figure, which bench/deflate.ts prints; that they get their turn is behaviour.
Deno.test("Timers fire all along while a large message is in the codec", async () => {
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
