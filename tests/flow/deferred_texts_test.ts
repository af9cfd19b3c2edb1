/** Short texts that are encoded together: what is counted and what comes out is the same as one by one. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Context, QueueFullError } from "../../mod.ts";
import type { Block } from "../../src/flow/block.ts";
import { SendQueue } from "../../src/flow/send_queue.ts";
import { keyOf } from "../support/messages.ts";
import { text, utf8 } from "../support/bytes.ts";
import { type Frame, FrameReader } from "../support/frames.ts";
import { MemoryConn } from "../support/memory_conn.ts";
import { seeded } from "../support/random.ts";
import { RawPeer } from "../support/raw_peer.ts";

const TEXT = 0x81, BINARY = 0x82;

for (const role of ["server", "client"] as const) {
  Deno.test(`A ${role}'s queue: deferred texts among all else come out in order, and count`, () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = seeded(seed), upTo = (most: number) => Math.floor(random() * (most + 1));
      const queue = new SendQueue(role === "client" ? () => upTo(0xffffffff) | 0 : null);
      const reader = new FrameReader(), got: Frame[] = [], expected: string[] = [];
      let bytes = 0, open: Block | null = null;
      const sent = (data: string) => {
        expected.push(data);
        bytes += utf8(data).length;
      };
      const write = (most: number) => {
        for (let i = 0; i < most; i++) {
          const block = queue.shift();
          if (block === null) break;
          reader.push(block.bytes.slice(block.start, block.end));
          bytes -= block.payload;
          queue.taken(block);
        }
      };
      for (let i = 0; i < 1000; i++) {
        const kind = upTo(30);
        if (kind < 24) {
          const unit = kind === 0 ? "é€" : kind === 1 ? "\u0000" : kind === 2 ? "😀" : "k";
          const data = unit.repeat(upTo(upTo(9) === 0 ? 150 : 70));
          if (!queue.defer(data, upTo(3) === 0 ? bytes : 1e6)) {
            queue.pushText(TEXT, data, 1, Infinity);
          }
          sent(data);
        } else if (kind === 24) {
          const data = "b".repeat(upTo(200_000));
          queue.push(BINARY, utf8(data), 1, upTo(1) === 0);
          sent(data);
        } else if (kind === 25 && open === null) {
          open = queue.openPlaceholder();
        } else if (kind === 26 && open !== null) {
          queue.closePlaceholder(open);
          open = null;
        } else if (kind === 27) {
          assertEquals(queue.bytes, bytes, `seed ${seed}`);
        } else if (kind > 27) {
          write(upTo(3));
        }
        assertEquals(queue.empty && queue.messages > 0, false);
      }
      if (open !== null) queue.closePlaceholder(open);
      write(Infinity);
      for (let frame = reader.next(); frame !== null; frame = reader.next()) got.push(frame);
      assertEquals(got.map(({ payload }) => keyOf(payload)), expected.map((it) => keyOf(utf8(it))));
      assert(got.every(({ masked }) => masked === (role === "client")));
      assertEquals([queue.bytes, queue.messages, queue.fragments, queue.empty], [0, 0, 0, true]);
    }
  });
}

Deno.test("A queue that is dropped, or cut, forgets deferred texts too", () => {
  const queue = new SendQueue(null), short = "x".repeat(50);
  const placeholder = queue.openPlaceholder();
  for (let i = 0; i < 3; i++) assert(queue.defer(short, 1000));
  queue.cutAt(placeholder);
  assertEquals([queue.bytes, queue.messages, queue.shift()], [0, 0, null]);
  for (let i = 0; i < 3; i++) assert(queue.defer(short, 1000));
  assertEquals([queue.empty, queue.messages, queue.bytes], [false, 3, 150]);
  queue.drop(false);
  assertEquals([queue.bytes, queue.messages, queue.empty], [0, 0, true]);
});

Deno.test("Short texts count at once, ASCII or not, for marks and limits alike", async () => {
  const ctx = new Context();
  const [ours, theirs] = MemoryConn.pair(1);
  let drains = 0;
  const conn = ctx.adopt(ours, {
    handshake: false,
    highWaterMark: 1000,
    maxQueueBytes: 2000,
    onDrain: () => void drains++,
  });
  const raw = new RawPeer(theirs, "client");
  // The first one is on its way, byte by byte.
  conn.send("first");
  const sent = ["first"];
  await new Promise<void>((resolve) => queueMicrotask(resolve));
  const before = conn.queuedBytes;
  let bytes = before, answers = 0;
  for (let i = 0; bytes <= 1800; i++) {
    const data = (i % 3 === 0 ? "é" : "e").repeat(30 + i);
    sent.push(data);
    bytes += utf8(data).length;
    assertEquals(conn.send(data), bytes <= 1000);
    answers++;
    if (i % 7 === 0) assertEquals(conn.queuedBytes, bytes);
  }
  assert(answers > 20);
  const { queueHighWater, messagesSent } = conn.stats();
  assertEquals([conn.queuedBytes, queueHighWater, messagesSent], [bytes, bytes, answers + 1]);
  const error = assertThrows(() => conn.send("€".repeat(70)), QueueFullError);
  assertEquals(error.data, "€".repeat(70));
  for (const data of sent) assertEquals(text((await raw.frame())!.payload), data);
  await conn.drained();
  assertEquals([conn.queuedBytes, drains], [0, 1]);
  await ctx.shutdown({ timeout: 0 });
  raw.close();
});
