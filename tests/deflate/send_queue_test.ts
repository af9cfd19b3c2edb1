import { assert, assertEquals } from "@std/assert";
import type { Block } from "../../src/flow/block.ts";
import { SendQueue } from "../../src/flow/send_queue.ts";
import { noise } from "./helpers.ts";
import { join, utf8 } from "../support/bytes.ts";

const FIN = 0x80, RSV1 = 0x40, TEXT = 1, BINARY = 2;

/** The bytes of a block. */
function bytes({ bytes, start, end }: Block): Uint8Array {
  return bytes.slice(start, end);
}

/** Takes all blocks that can be written, one by one. */
function takeAll(queue: SendQueue, each: () => void = () => {}): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let block = queue.shift(); block !== null; block = queue.shift()) {
    parts.push(bytes(block));
    each();
    queue.taken(block);
  }
  return join(parts);
}

Deno.test("a compressed frame counts with its uncompressed length", () => {
  const queue = new SendQueue(null);
  queue.push(FIN | TEXT, utf8("ab"), 1, false);
  queue.pushCompressed(FIN | RSV1 | TEXT, Uint8Array.of(1, 2, 3), 1000, 1);
  assertEquals([queue.bytes, queue.messages], [1002, 2]);
  assertEquals(takeAll(queue), Uint8Array.of(0x81, 2, 0x61, 0x62, 0xc1, 3, 1, 2, 3));
  assertEquals([queue.bytes, queue.messages], [0, 0]);
});

Deno.test("a growing frame of more than a block counts until its last byte is taken", () => {
  for (const ahead of [0, 10]) {
    for (const length of [65530, 65536, 65540, 65541, 65550, 65556, 70_000, 200_000]) {
      const queue = new SendQueue(null);
      if (ahead > 0) queue.push(FIN | TEXT, new Uint8Array(ahead), 1, false);
      queue.pushCompressed(FIN | RSV1 | BINARY, noise(length), 65536, 1);
      assertEquals(queue.bytes, ahead + 65536);
      const written = takeAll(
        queue,
        () => assert(queue.bytes >= 65536, `${length}: ${queue.bytes}`),
      );
      assertEquals(written.slice(-length), noise(length));
      assertEquals([queue.bytes, queue.messages], [0, 0]);
    }
  }
});

Deno.test("frames after one that is being compressed wait for it", () => {
  const queue = new SendQueue(null);
  queue.push(FIN | TEXT, utf8("a"), 1, false);
  const placeholder = queue.reserve(5000, 1);
  queue.push(FIN | TEXT, utf8("b"), 1, false);
  const last = queue.reserve(50, 1);
  assertEquals([queue.bytes, queue.messages], [5052, 4]);
  assertEquals(takeAll(queue), Uint8Array.of(0x81, 1, 0x61));
  assert(!queue.empty);
  assertEquals(queue.shift(), null);
  queue.fill(placeholder, [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)]);
  const open: boolean[] = [], counts: number[] = [], written: Uint8Array[] = [];
  for (let block = queue.shift(); block !== null; block = queue.shift()) {
    open.push(block.continues);
    counts.push(queue.bytes);
    written.push(bytes(block));
    queue.taken(block);
  }
  assertEquals(join(written), Uint8Array.of(1, 2, 3, 0x81, 1, 0x62));
  assertEquals(open, [true, true, false, false]);
  assertEquals(counts, [5051, 5051, 5051, 51]);
  queue.fill(last, [Uint8Array.of(9)]);
  assertEquals(takeAll(queue), Uint8Array.of(9));
  assertEquals([queue.bytes, queue.messages, queue.empty], [0, 0, true]);
});

Deno.test("frames after the last placeholder follow when it is filled", () => {
  const queue = new SendQueue(null);
  queue.fill(queue.reserve(10, 1), [Uint8Array.of(1), Uint8Array.of(2)]);
  queue.push(FIN | TEXT, utf8("a"), 1, false);
  assertEquals(takeAll(queue), Uint8Array.of(1, 2, 0x81, 1, 0x61));
});

Deno.test("drop: placeholders and their frames are dropped, the rest of a partly written frame stays", () => {
  const queue = new SendQueue(null);
  const begun = queue.reserve(10, 1);
  queue.fill(begun, [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)]);
  const placeholder = queue.reserve(100, 1);
  queue.push(FIN | TEXT, utf8("a"), 1, false);
  const first = queue.shift()!;
  assert(first.continues);
  queue.drop(true);
  queue.taken(first);
  queue.fill(placeholder, [Uint8Array.of(7)]);
  queue.push(FIN | TEXT, utf8("b"), 1, false);
  assertEquals(takeAll(queue), Uint8Array.of(2, 3, 0x81, 1, 0x62));
  assertEquals([queue.bytes, queue.messages], [0, 0]);
});

Deno.test("dropping a queue of which nothing was written leaves nothing", () => {
  const queue = new SendQueue(null);
  const placeholder = queue.reserve(100, 1);
  queue.push(FIN | TEXT, utf8("a"), 1, false);
  queue.drop(false);
  queue.fill(placeholder, [Uint8Array.of(7)]);
  assert(queue.empty);
  assertEquals([queue.bytes, queue.messages], [0, 0]);
});
