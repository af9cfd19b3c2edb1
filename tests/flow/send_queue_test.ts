import { assert, assertEquals } from "@std/assert";
import { SIZES } from "../../src/memory/buffer_pool.ts";
import type { Block } from "../../src/flow/block.ts";
import { SendQueue } from "../../src/flow/send_queue.ts";
import { concat, sameBytes, text, toHex, utf8 } from "../support/bytes.ts";
import { type Frame, FrameReader } from "../support/frames.ts";
import { randomBytes, seeded } from "../support/random.ts";

const TEXT = 0x81, BINARY = 0x82, CLOSE = 0x88;

/** Takes every block, and decodes the frames in all of them. */
function drain(queue: SendQueue): { blocks: Block[]; frames: Frame[]; bytes: Uint8Array } {
  const blocks: Block[] = [], parts: Uint8Array[] = [], reader = new FrameReader();
  for (let block = queue.shift(); block !== null; block = queue.shift()) {
    blocks.push(block);
    const part = block.bytes.slice(block.start, block.end);
    parts.push(part);
    reader.push(part);
    queue.taken(block);
  }
  const frames: Frame[] = [];
  for (let frame = reader.next(); frame !== null; frame = reader.next()) frames.push(frame);
  assertEquals(reader.rest.length, 0);
  return { blocks, frames, bytes: concat(...parts) };
}

function keys(): () => number {
  const random = seeded(77);
  return () => (random() * 0x100000000) | 0;
}

for (const [name, make] of [["server", () => null], ["client", keys]] as const) {
  Deno.test(`a ${name}'s queue keeps binary payloads of every form in order`, () => {
    const queue = new SendQueue(make());
    const lengths = [0, 1, 125, 126, 127, 500, 8000, 8192, 65_500, 65_535, 65_536, 65_537, 200_000];
    lengths.push(3, 0, 40_000, 40_000, 7);
    let total = 0;
    const payloads = lengths.map((length, at) => randomBytes(length, at + 1));
    for (const payload of payloads) {
      const before = payload.slice();
      queue.push(BINARY, payload, 1, false);
      assert(sameBytes(payload, before), "the caller's buffer was changed");
      total += payload.length;
      assertEquals(queue.bytes, total);
    }
    assertEquals(queue.messages, lengths.length);
    const { blocks, frames } = drain(queue);
    assertEquals([queue.bytes, queue.messages, queue.empty], [0, 0, true]);
    assertEquals(frames.length, lengths.length);
    for (const [at, frame] of frames.entries()) {
      assertEquals([frame.fin, frame.rsv, frame.opcode], [true, 0, 2]);
      assertEquals(frame.masked, name === "client");
      assert(sameBytes(frame.payload, payloads[at]), `payload ${at}`);
    }
    for (const block of blocks) {
      assert(block.end > block.start, "an empty block");
      assert(block.buffer === null || block.end - block.start <= SIZES.at(-1)!);
    }
  });

  Deno.test(`a ${name}'s queue encodes texts whose UTF-8 is longer than their length`, () => {
    const queue = new SendQueue(make());
    const units = ["a", "é", "€", "😀", "aé", "\ud800", "a€"];
    const texts = units.flatMap((unit) =>
      [
        0,
        1,
        20,
        24,
        25,
        41,
        42,
        62,
        63,
        64,
        125,
        126,
        127,
        170,
        2000,
        21_800,
        21_846,
        32_768,
        70_000,
      ]
        .map((count) => unit.repeat(count))
    );
    let total = 0;
    for (const string of texts) {
      const length = queue.pushText(TEXT, string, 1, Infinity);
      assertEquals(length, utf8(string).length);
      total += length;
      assertEquals(queue.bytes, total);
    }
    assertEquals(queue.messages, texts.length);
    const { frames } = drain(queue);
    for (const [at, string] of texts.entries()) {
      if (!sameBytes(frames[at].payload, utf8(string))) throw new Error(`Text ${at}`);
    }
    assertEquals([frames.length, queue.bytes, queue.messages], [texts.length, 0, 0]);
  });

  Deno.test(`a ${name}'s queue keeps random traffic in order while it is emptied`, () => {
    const queue = new SendQueue(make()), random = seeded(9);
    const expected: Uint8Array[] = [], got: Frame[] = [], reader = new FrameReader();
    for (let round = 0; round < 3000; round++) {
      const length = Math.floor(random() ** 8 * 100_000);
      if (random() < 0.5) {
        const string = ["x", "ü", "€"][round % 3].repeat(length / 3);
        queue.pushText(TEXT, string, 1, Infinity);
        expected.push(utf8(string));
      } else {
        expected.push(randomBytes(length, round + 1));
        queue.push(BINARY, expected.at(-1)!.slice(), 1, random() < 0.5);
      }
      while (random() < 0.2) {
        const block = queue.shift();
        if (block === null) break;
        reader.push(block.bytes.subarray(block.start, block.end));
        queue.taken(block);
      }
    }
    for (let block = queue.shift(); block !== null; block = queue.shift()) {
      reader.push(block.bytes.subarray(block.start, block.end));
      queue.taken(block);
    }
    for (let frame = reader.next(); frame !== null; frame = reader.next()) got.push(frame);
    assertEquals([got.length, queue.bytes, queue.messages], [expected.length, 0, 0]);
    for (const [at, { payload }] of got.entries()) {
      if (!sameBytes(payload, expected[at])) throw new Error(`Message ${at}`);
    }
  });
}

Deno.test("a thousand small messages form one block", () => {
  const queue = new SendQueue(null);
  for (let n = 0; n < 1000; n++) queue.push(BINARY, new Uint8Array(60), 1, false);
  const { blocks, frames } = drain(queue);
  assertEquals([blocks.length, frames.length], [1, 1000]);
});

Deno.test("a block grows from 512 bytes to 64 KiB with its contents", () => {
  const queue = new SendQueue(null);
  const payloads = [100, 300, 200, 5000, 2000, 30_000, 20_000].map((n) => randomBytes(n, n));
  for (const payload of payloads) queue.push(BINARY, payload, 1, false);
  const { blocks, frames } = drain(queue);
  assertEquals(blocks.length, 1);
  for (const [at, { payload }] of frames.entries()) assert(sameBytes(payload, payloads[at]));
});

Deno.test("a message of 64 KiB is one block; a larger one has a block of its own, without a copy if it is owned", () => {
  const queue = new SendQueue(null);
  queue.push(BINARY, new Uint8Array(65_536), 1, false);
  assertEquals(drain(queue).blocks.length, 1);
  const large = randomBytes(65_537, 1);
  queue.push(BINARY, large, 1, true);
  const header = queue.shift()!, body = queue.shift()!;
  assertEquals([header.continues, body.continues], [true, false]);
  assertEquals(toHex(header.bytes.slice(header.start, header.end)), "827f0000000000010001");
  assert(body.bytes === large);
  assertEquals([header.payload, body.payload, body.messages], [0, 65_537, 1]);
  queue.taken(header);
  queue.taken(body);
  assertEquals([queue.bytes, queue.messages], [0, 0]);
});

Deno.test("a text that doesn't fit leaves nothing behind", () => {
  for (
    const [string, room] of [
      ["abc", 2],
      ["€", 2],
      ["é".repeat(10), 19],
      ["€".repeat(1000), 2999],
      ["€".repeat(30_000), 89_999],
    ] as const
  ) {
    for (const before of [0, 1]) {
      const queue = new SendQueue(null);
      for (let n = 0; n < before; n++) queue.push(BINARY, Uint8Array.of(7), 1, false);
      assertEquals(queue.pushText(TEXT, string, 1, room), -1);
      assertEquals([queue.empty, queue.bytes, queue.messages], [before === 0, before, before]);
      assertEquals(queue.pushText(TEXT, string, 1, utf8(string).length), utf8(string).length);
      const { frames } = drain(queue);
      assertEquals(frames.length, before + 1);
      assertEquals(text(frames.at(-1)!.payload) === string, true);
    }
  }
});

Deno.test("a close frame doesn't count", () => {
  const queue = new SendQueue(null);
  queue.push(BINARY, Uint8Array.of(1), 1, false);
  queue.pushUncounted(CLOSE, Uint8Array.of(3, 232));
  assertEquals([queue.bytes, queue.messages], [1, 1]);
  const { frames } = drain(queue);
  assertEquals([frames.length, frames[1].opcode, toHex(frames[1].payload)], [2, 8, "03e8"]);
  assertEquals([queue.bytes, queue.messages], [0, 0]);
});

Deno.test("fragments form one message, which is counted at its end", () => {
  const queue = new SendQueue(null);
  queue.push(0x02, Uint8Array.of(1), 0, false);
  queue.push(0x00, Uint8Array.of(2), 0, false);
  assertEquals(queue.messages, 0);
  queue.push(0x80, Uint8Array.of(3), 1, false);
  assertEquals(queue.messages, 1);
  assertEquals(drain(queue).frames.map(({ fin, opcode }) => [fin, opcode]), [
    [false, 2],
    [false, 0],
    [true, 0],
  ]);
});

Deno.test("dropping removes everything, except the rest of a frame that was partly written", () => {
  const queue = new SendQueue(null);
  for (let n = 0; n < 5; n++) queue.push(BINARY, new Uint8Array(20_000), 1, false);
  queue.drop(false);
  assertEquals([queue.empty, queue.bytes, queue.messages], [true, 0, 0]);

  const large = randomBytes(300_000, 2);
  queue.push(BINARY, large, 1, false);
  for (let n = 0; n < 5; n++) queue.push(BINARY, new Uint8Array(20_000), 1, false);
  const first = queue.shift()!;
  assertEquals(first.continues, true);
  const begun = first.bytes.slice(first.start, first.end);
  queue.drop(true);
  assertEquals([queue.bytes, queue.messages], [300_000, 1]);
  queue.taken(first);
  const rest = queue.shift()!;
  const frame = [...begun, ...rest.bytes.subarray(rest.start, rest.end)];
  assert(sameBytes(new Uint8Array(frame.slice(-300_000)), large));
  queue.taken(rest);
  assertEquals(queue.shift(), null);
  assertEquals([queue.empty, queue.bytes, queue.messages], [true, 0, 0]);
});
