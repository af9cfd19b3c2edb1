import { assert, assertEquals, assertLess } from "@std/assert";
import { DEFLATE_SLICE, Deflater } from "../../src/deflate/deflater.ts";
import { workQueue } from "../../src/deflate/work_queue.ts";
import { assertBytes, deflateInTurns, inflater, json, noise, push, TAKEOVER } from "./helpers.ts";
import { join } from "../support/bytes.ts";

const SIZES = [0, 1, 5, 125, 126, 1024, 4092, 4096, 4097, 16384, 65535, DEFLATE_SLICE];

for (const takeover of [true, false]) {
  for (let windowBits = 9; windowBits <= 15; windowBits++) {
    Deno.test(`messages survive a window of ${windowBits} bits, takeover ${takeover}`, async () => {
      const deflater = new Deflater({ ...TAKEOVER, windowBits, takeover });
      const { inflater: codec, got } = inflater({ windowBits, takeover });
      const sent: Uint8Array[] = [];
      for (let round = 1; round <= 3; round++) {
        for (const size of SIZES) {
          for (const message of [json(size, round), noise(size, round), new Uint8Array(size)]) {
            sent.push(message);
            await push(codec, deflater.deflate(message, true).slice());
          }
        }
      }
      assertEquals(got.messages.length, sent.length);
      for (let i = 0; i < sent.length; i++) assertBytes(got.messages[i], sent[i]);
      deflater.close();
      codec.close();
    });
  }
}

Deno.test("an inflater with 9 bits reads a peer that uses 8", async () => {
  // zlib can't write such a stream. A stream of 9 bits whose messages are shorter than 256 bytes has no longer references.
  const deflater = new Deflater({ ...TAKEOVER, windowBits: 9, takeover: false });
  const { inflater: codec, got } = inflater({ windowBits: 9, takeover: false });
  for (let i = 0; i < 10; i++) await push(codec, deflater.deflate(json(200, i), true).slice());
  for (let i = 0; i < 10; i++) assertBytes(got.messages[i], json(200, i));
  deflater.close();
  codec.close();
});

Deno.test("messages survive every level and memory level", async () => {
  for (let level = 0; level <= 9; level++) {
    for (let memLevel = 1; memLevel <= 9; memLevel++) {
      const deflater = new Deflater({ windowBits: 15, takeover: true, memLevel, level });
      const { inflater: codec, got } = inflater();
      const sent = [json(3000), noise(DEFLATE_SLICE), json(DEFLATE_SLICE, 2), json(3000, 3)];
      for (const message of sent) await push(codec, deflater.deflate(message, true).slice());
      for (let i = 0; i < sent.length; i++) assertBytes(got.messages[i], sent[i]);
      deflater.close();
      codec.close();
    }
  }
});

Deno.test("context takeover makes similar messages smaller", () => {
  const kept = new Deflater(TAKEOVER);
  const dropped = new Deflater({ ...TAKEOVER, takeover: false });
  let keptLength = 0, droppedLength = 0;
  for (let i = 0; i < 20; i++) {
    keptLength += kept.deflate(json(300, i), true).length;
    droppedLength += dropped.deflate(json(300, i), true).length;
  }
  assertLess(keptLength, droppedLength);
  kept.close();
  dropped.close();
});

Deno.test("a compressed message is inflated byte by byte, with and without fragments", async () => {
  for (const takeover of [true, false]) {
    const deflater = new Deflater({ ...TAKEOVER, takeover });
    const { inflater: codec, got } = inflater({ takeover });
    const sent = [json(500), noise(500), json(500, 2)];
    for (const message of sent) {
      const packed = deflater.deflate(message, true).slice();
      for (let i = 0; i < packed.length; i++) {
        await push(codec, packed.subarray(i, i + 1), i === packed.length - 1);
      }
    }
    for (let i = 0; i < sent.length; i++) assertBytes(got.messages[i], sent[i]);
    deflater.close();
    codec.close();
  }
});

for (const takeover of [true, false]) {
  Deno.test(`long messages are compressed in turns, takeover ${takeover}`, async () => {
    const deflater = new Deflater({ ...TAKEOVER, level: 4, takeover });
    const { inflater: codec, got } = inflater({ takeover });
    const sent = [
      json(1000),
      json(3 << 20),
      noise(1 << 20),
      json(1000, 3),
      new Uint8Array(5 << 20),
    ];
    for (const message of sent) {
      const work = deflateInTurns(deflater, message);
      assert(deflater.busy);
      assertEquals(workQueue.size, 1);
      const packed = await work;
      assert(!deflater.busy);
      await push(codec, packed);
    }
    for (let i = 0; i < sent.length; i++) assertBytes(got.messages[i], sent[i]);
    assertEquals(workQueue.size, 0);
    deflater.close();
    codec.close();
  });
}

Deno.test("fragments that are compressed in turns and at once form one message", async () => {
  for (const takeover of [true, false]) {
    const deflater = new Deflater({ ...TAKEOVER, takeover });
    const { inflater: codec, got } = inflater({ takeover });
    const whole = json(600_000);
    for (let i = 0; i < 2; i++) {
      await push(codec, deflater.deflate(whole.subarray(0, 100), false).slice(), false);
      await push(codec, await deflateInTurns(deflater, whole.subarray(100, 400_000), false), false);
      await push(codec, await deflateInTurns(deflater, whole.subarray(400_000)));
    }
    for (let i = 0; i < 2; i++) assertBytes(got.messages[i], whole);
    deflater.close();
    codec.close();
  }
});

Deno.test("a payload above the size of a slice is compressed at once on request", async () => {
  const deflater = new Deflater(TAKEOVER);
  const { inflater: codec, got } = inflater();
  const sent = [noise(300_000), json(300_000), noise(70_000), noise(DEFLATE_SLICE * 1.25 - 30)];
  for (const message of sent) await push(codec, deflater.deflate(message, true).slice());
  for (let i = 0; i < sent.length; i++) assertBytes(got.messages[i], sent[i]);
  deflater.close();
  codec.close();
});

Deno.test("messages survive every length around a full output buffer", async () => {
  // Level 0 copies the input, so the output grows byte by byte with it.
  const deflater = new Deflater({ ...TAKEOVER, level: 0 });
  const { inflater: codec, got } = inflater();
  const full = DEFLATE_SLICE * 1.25;
  for (let length = full - 40; length < full + 5; length++) {
    const message = noise(length, length);
    await push(codec, deflater.deflate(message, true).slice());
    assertBytes(got.messages.pop(), message);
    await push(codec, await deflateInTurns(deflater, message));
    assertBytes(got.messages.pop(), message);
  }
  deflater.close();
  codec.close();
});

Deno.test("connections that share zlib contexts can't read each other's messages", async () => {
  // Without takeover, contexts are reused: no message of one connection may reach another one.
  const secret = json(1000, 7);
  const first = new Deflater({ ...TAKEOVER, takeover: false });
  first.deflate(secret, true);
  const second = new Deflater({ ...TAKEOVER, takeover: false });
  const again = second.deflate(secret, true).slice();
  const { inflater: codec, got } = inflater({ takeover: false });
  await push(codec, again);
  assertEquals(got.messages, [secret]);

  // A reference to bytes that a message of another connection has left in the window.
  const { inflater: victim } = inflater({ takeover: false });
  await push(victim, again);
  const { inflater: spy, got: spied } = inflater({ takeover: false });
  let error: unknown = null;
  await push(spy, Uint8Array.of(0xf2, 0x00, 0x11, 0x00, 0x00)).catch((reason) => error = reason);
  assert(error !== null);
  assertEquals(spied.messages, []);
  for (const codec of [first, second, victim, spy]) codec.close();
  codec.close();
});

Deno.test("the messages of two connections are inflated alternately", async () => {
  for (const takeover of [true, false]) {
    const a = new Deflater({ ...TAKEOVER, takeover });
    const b = new Deflater({ ...TAKEOVER, takeover });
    const whole = json(2000);
    const parts: [Uint8Array[], Uint8Array[]] = [[], []];
    for (let i = 0; i < 4; i++) {
      const part = whole.subarray(i * 500, i * 500 + 500);
      parts[0].push(a.deflate(part, i === 3).slice());
      parts[1].push(b.deflate(part, i === 3).slice());
    }
    const one = inflater({ takeover }), two = inflater({ takeover });
    for (let i = 0; i < 4; i++) {
      await push(one.inflater, parts[0][i], i === 3);
      await push(two.inflater, parts[1][i], i === 3);
    }
    assertEquals(join(one.got.messages), whole);
    assertEquals(join(two.got.messages), whole);
    for (const codec of [a, b, one.inflater, two.inflater]) codec.close();
  }
});
