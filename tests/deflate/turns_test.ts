import { assert, assertEquals, assertLess } from "@std/assert";
import { Deflater } from "../../src/deflate/deflater.ts";
import { leaveTurns, takeTurns, turnsWaiting } from "../../src/deflate/turns.ts";
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
  takeTurns(worker("a", 3, log));
  takeTurns(worker("b", 1, log));
  takeTurns(worker("c", 2, log));
  assertEquals(log, [], "nothing runs before the next turn of the event loop");
  while (turnsWaiting() > 0) await turn();
  assertEquals(log.join(""), "abcaca");
});

Deno.test("What leaves gets no turn", async () => {
  const log: string[] = [];
  const a = worker("a", 100, log);
  takeTurns(a);
  takeTurns(worker("b", 2, log));
  leaveTurns(a);
  leaveTurns(a);
  while (turnsWaiting() > 0) await turn();
  assertEquals(log.join(""), "bb");
});

Deno.test("One slice a turn: a microtask between any two", async () => {
  let slices = 0, between = 0;
  takeTurns({
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

/** How late a timer of 10 ms gets at most while 64 MiB are compressed and inflated. */
async function lateness(message: Uint8Array): Promise<number> {
  let latest = 0, ticks = 0, last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    latest = Math.max(latest, now - last - 10);
    last = now;
    ticks++;
  }, 10);
  const deflater = new Deflater({ ...TAKEOVER, level: 4 });
  const pieces = await packInTurns(deflater, message);
  deflater.close();
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
  assert(ticks > 10);
  return latest;
}

Deno.test("A timer is at most 50 ms late while 64 MiB are in the codec", async () => {
  const message = new Uint8Array(64 << 20);
  const pattern = json(1 << 20);
  for (let at = 0; at < message.length; at += pattern.length) message.set(pattern, at);
  message.set(noise(8 << 20), 8 << 20);
  // Other tests run at the same time, and may keep the processor from this one: that isn't our delay.
  let latest = Infinity;
  for (let i = 0; i < 3 && latest >= 50; i++) latest = await lateness(message);
  assertLess(latest, 50);
});
