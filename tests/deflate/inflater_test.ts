import { assert, assertEquals, assertRejects } from "@std/assert";
import zlib from "node:zlib";
import { Deflater } from "../../src/deflate/deflater.ts";
import { History } from "../../src/deflate/history.ts";
import { Inflater } from "../../src/deflate/inflater.ts";
import { workQueue } from "../../src/deflate/work_queue.ts";
import { ProtocolError } from "../../src/protocol/protocol_error.ts";
import { assertBytes, inflater, json, noise, push, TAKEOVER } from "./helpers.ts";
import { join, utf8 } from "../support/bytes.ts";
import { compressed } from "../support/deflate.ts";
import { turn, until } from "../support/until.ts";

async function fails(
  closeCode: number,
  codec: Inflater,
  bytes: Uint8Array,
  final = true,
): Promise<void> {
  const error = await assertRejects(async () => await push(codec, bytes, final), ProtocolError);
  assertEquals(error.closeCode, closeCode);
  assert(!codec.busy);
  assertEquals(workQueue.size, 0);
  codec.close();
}

/** A compressed message of `length` zeros. */
function bomb(length: number): Uint8Array {
  return compressed(new Uint8Array(length), 9);
}

Deno.test("a message of exactly the limit is accepted, one byte more fails with 1009", async () => {
  for (const takeover of [true, false]) {
    for (const limit of [1, 100, 65535, 65536, 65537, 300_000]) {
      for (const fill of [json, noise, (length: number) => new Uint8Array(length)]) {
        const deflater = new Deflater({ ...TAKEOVER, takeover });
        const { inflater: codec, got } = inflater({ takeover, maxMessageSize: limit });
        for (let i = 0; i < 2; i++) {
          await push(codec, deflater.deflate(fill(limit), true).slice());
          assertBytes(got.messages.pop(), fill(limit));
        }
        await fails(1009, codec, deflater.deflate(fill(limit + 1), true).slice());
        assertEquals(got.messages.length, 0);
        deflater.close();
      }
    }
  }
});

Deno.test("the limit applies to the sum of the fragments", async () => {
  const deflater = new Deflater(TAKEOVER);
  const { inflater: codec, got } = inflater({ maxMessageSize: 1000 });
  await push(codec, deflater.deflate(noise(600), false).slice(), false);
  await push(codec, deflater.deflate(noise(400), true).slice());
  await push(codec, deflater.deflate(noise(600), false).slice(), false);
  await fails(1009, codec, deflater.deflate(noise(401), false).slice(), false);
  assertEquals(got.messages.length, 1);
  deflater.close();
});

Deno.test("inflating a bomb stops at the limit, and no bytes above it are passed on", async () => {
  let most = 0;
  const codec = new Inflater({ windowBits: 15, takeover: true, maxMessageSize: 1 << 20 }, {
    room: Infinity,
    inflated: (_source, start, end) => most += end - start,
  });
  await fails(1009, codec, bomb(10 << 20));
  assert(most <= 1 << 20, `${most} bytes were passed on`);
});

Deno.test("empty blocks are inflated in turns, too", async () => {
  const packed = new Uint8Array(5 * 400_000 - 4);
  for (let i = 3; i < packed.length; i += 5) packed[i] = packed[i + 1] = 0xff;
  const { inflater: codec, got } = inflater();
  let done = false;
  const settled = push(codec, packed).then(() => done = true);
  await Promise.resolve();
  assert(codec.busy && !done);
  await settled;
  assertEquals(got.texts, [""]);
  codec.close();
});

const CORRUPT: [string, Uint8Array][] = [
  ["a block of the reserved type", Uint8Array.of(0x06)],
  [
    "a stored block with a wrong complement of its length",
    Uint8Array.of(0x00, 0x05, 0x00, 0x05, 0x00),
  ],
  ["a reference to before the start", Uint8Array.of(0xf2, 0x00, 0x11, 0x00, 0x00)],
  ["too many codes", Uint8Array.of(0xfc, 0x00, 0x00)],
  ["noise", noise(1000, 5)],
];

for (const [what, bytes] of CORRUPT) {
  for (const takeover of [true, false]) {
    Deno.test(`${what} fails with 1007, takeover ${takeover}`, async () => {
      await fails(1007, inflater({ takeover }).inflater, bytes);
      // The failed context must not be reused for the next connection.
      const { inflater: codec, got } = inflater({ takeover });
      await push(codec, Uint8Array.of(0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00));
      assertEquals(got.texts, ["Hello"]);
      codec.close();
    });
  }
}

Deno.test("a message without bytes is empty, and doesn't change the window", async () => {
  for (const takeover of [true, false]) {
    const { inflater: codec, got } = inflater({ takeover });
    const nothing = new Uint8Array(0);
    await push(codec, nothing);
    await push(codec, Uint8Array.of(0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00));
    await push(codec, nothing, false);
    await push(codec, nothing);
    const next = takeover
      ? Uint8Array.of(0xf2, 0x00, 0x11, 0x00, 0x00)
      : Uint8Array.of(0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00);
    await push(codec, next);
    assertEquals(got.texts, ["", "Hello", "", "Hello"]);
    codec.close();
  }
});

Deno.test("corrupt data within a long message fail in the turn that reaches them", async () => {
  const deflater = new Deflater({ ...TAKEOVER, level: 0 });
  const packed = join([
    deflater.deflate(noise(2 << 20), false).slice(),
    Uint8Array.of(0x06, 0x06),
  ]);
  deflater.close();
  await fails(1007, inflater().inflater, packed);
});

Deno.test("changing any byte of a message leads to an error or another message, never to a crash", async () => {
  const deflater = new Deflater(TAKEOVER);
  const packed = deflater.deflate(json(2000), true).slice();
  deflater.close();
  let failed = 0;
  for (let i = 0; i < packed.length; i++) {
    const changed = packed.slice();
    changed[i] ^= 1 << (i & 7);
    const { inflater: codec } = inflater({ maxMessageSize: 10_000 });
    try {
      await push(codec, changed);
    } catch (error) {
      assert(error instanceof ProtocolError);
      assert([1007, 1009].includes((error as ProtocolError).closeCode));
      failed++;
    }
    codec.close();
  }
  assert(failed > 0);
});

/** Compresses messages with one context, and ends each with a final block, like a peer that flushes with Z_FINISH. */
function finalMessages(messages: Uint8Array[], block: number): Uint8Array[] {
  const packed: Uint8Array[] = [];
  let window: Uint8Array = new Uint8Array(0);
  for (const message of messages) {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < message.length; at += block) {
      const part = message.subarray(at, at + block);
      const last = at + block >= message.length;
      const options = { dictionary: window.length > 0 ? window : undefined };
      const { Z_FINISH, Z_SYNC_FLUSH } = zlib.constants;
      const finishFlush = last ? Z_FINISH : Z_SYNC_FLUSH;
      parts.push(new Uint8Array(zlib.deflateRawSync(part, { ...options, finishFlush })));
      window = join([window, part]).slice(-32768);
    }
    packed.push(join([...parts, Uint8Array.of(0x00)]));
  }
  return packed;
}

for (const block of [100, 1000, 1 << 20]) {
  Deno.test(`final blocks keep the window, with blocks of ${block}`, async () => {
    const sent = [json(300), json(2000, 2), json(300), json(70_000, 3), json(33_000, 4)];
    sent.push(json(2000, 2), json(32_768, 5), noise(40_000), noise(1000), json(300));
    const { inflater: codec, got } = inflater();
    for (const packed of finalMessages(sent, block)) await push(codec, packed);
    for (let i = 0; i < sent.length; i++) assertBytes(got.messages[i], sent[i]);
    codec.close();
  });
}

Deno.test("a window of 9 bits survives a final block", async () => {
  const deflater = new Deflater({ ...TAKEOVER, windowBits: 9 });
  const { inflater: codec, got } = inflater({ windowBits: 9 });
  const sent: Uint8Array[] = [];
  for (let i = 0; i < 50; i++) {
    sent.push(json(1 + i * 37 % 700, i % 3));
    const packed = deflater.deflate(sent[i], true).slice();
    // A final fixed block without content, after the empty stored block that ends the message.
    const final = Uint8Array.of(0x00, 0x00, 0x00, 0xff, 0xff, 0x03, 0x00, 0x00);
    await push(codec, i % 2 === 0 ? packed : join([packed, final.subarray(1)]));
  }
  for (let i = 0; i < sent.length; i++) assertBytes(got.messages[i], sent[i]);
  deflater.close();
  codec.close();
});

Deno.test("the history has the last bytes of the window, with any pieces", () => {
  const stream = noise(5000, 3);
  for (const chunk of [1, 7, 100, 511, 512, 513, 1024, 5000]) {
    const history = new History(9);
    for (let at = 0; at < stream.length; at += chunk) {
      const bytes = stream.subarray(at, at + chunk);
      history.add(bytes, bytes.length);
      const end = at + bytes.length;
      const kept = stream.subarray(Math.max(0, end - 512), end);
      assertEquals(history.length, kept.length);
      const block = join(history.storedBlock());
      assertEquals(block.subarray(5), kept);
      assertEquals((block[1] | block[2] << 8) ^ (block[3] | block[4] << 8), 0xffff);
    }
  }
});

Deno.test("closing an inflater in the middle of a long message stops it, and it doesn't call back", async () => {
  const deflater = new Deflater(TAKEOVER);
  const packed = join([deflater.deflate(noise(2 << 20), true).slice()]);
  deflater.close();
  const { inflater: codec, got } = inflater();
  assert(!codec.push(packed, 0, packed.length, true, () => assert(false)));
  assertEquals(workQueue.size, 1);
  codec.close();
  assertEquals(workQueue.size, 0);
  await turn();
  assertEquals(got.messages, []);
  codec.close();
});

Deno.test("an inflater that is closed by its consumer stops at once", async () => {
  for (const turns of [0, 1]) {
    const deflater = new Deflater(TAKEOVER);
    const packed = deflater.deflate(noise(2 << 20), true).slice();
    deflater.close();
    let calls = 0;
    const codec: Inflater = new Inflater({ windowBits: 15, takeover: true, maxMessageSize: 0 }, {
      room: Infinity,
      inflated() {
        if (++calls === 1 + turns * 5) codec.close();
      },
    });
    codec.push(packed, 0, packed.length, true, () => assert(false));
    await until(() => workQueue.size === 0);
    await turn();
    assertEquals(calls, 1 + turns * 5);
  }
});

Deno.test("an error of the consumer reaches the caller, also in turns", async () => {
  const deflater = new Deflater(TAKEOVER);
  const packed = deflater.deflate(noise(2 << 20), true).slice();
  deflater.close();
  for (const at of [1, 10]) {
    let calls = 0;
    const codec = new Inflater({ windowBits: 15, takeover: true, maxMessageSize: 0 }, {
      room: Infinity,
      inflated() {
        if (++calls === at) throw new ProtocolError(1007, "invalid-utf8", "not UTF-8");
      },
    });
    await fails(1007, codec, packed);
    assertEquals(calls, at);
  }
});

Deno.test("inflating a message while another one's bytes are passed on doesn't disturb that", async () => {
  const packed = bomb(200_000);
  const small = Uint8Array.of(0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00);
  const { inflater: other, got } = inflater();
  let length = 0;
  const codec = new Inflater({ windowBits: 15, takeover: true, maxMessageSize: 0 }, {
    room: Infinity,
    inflated({ bytes }, start, end) {
      assert(bytes.subarray(start, end).every((byte) => byte === 0));
      length += end - start;
      if (got.messages.length === 0) other.push(small, 0, small.length, true, () => {});
    },
  });
  await push(codec, packed);
  assertEquals(length, 200_000);
  assertEquals(got.texts, ["Hello"]);
  assertEquals(utf8("Hello").length, 5);
  codec.close();
  other.close();
});
