import { assert, assertEquals } from "@std/assert";
import { Deflater } from "../../src/deflate/deflater.ts";
import { deflateInTurns, inflater, push, TAKEOVER } from "./helpers.ts";
import { join, utf8 } from "../support/bytes.ts";

// The byte sequences of RFC 7692 7.2.3. All are read; those that zlib would write are also written.

const ONE_BLOCK = Uint8Array.of(0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00);
const SHARED_WINDOW = Uint8Array.of(0xf2, 0x00, 0x11, 0x00, 0x00);
const STORED = Uint8Array.of(0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00);
const FINAL = Uint8Array.of(0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00);
const TWO_BLOCKS = Uint8Array.of(
  ...[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff],
  ...[0xca, 0xc9, 0xc9, 0x07, 0x00],
);

Deno.test("7.2.3.1: a message of one block is read", async () => {
  const { inflater: codec, got } = inflater();
  await push(codec, ONE_BLOCK);
  assertEquals(got.texts, ["Hello"]);
  codec.close();
});

Deno.test("7.2.3.1: a message of one block is written", () => {
  const deflater = new Deflater(TAKEOVER);
  assertEquals(deflater.deflate(utf8("Hello"), true).slice(), ONE_BLOCK);
  deflater.close();
});

Deno.test("7.2.3.1: a message of one block in two fragments is read", async () => {
  const { inflater: codec, got } = inflater();
  await push(codec, ONE_BLOCK.subarray(0, 3), false);
  await push(codec, ONE_BLOCK.subarray(3));
  assertEquals(got.texts, ["Hello"]);
  codec.close();
});

Deno.test("7.2.3.1: a message is the same with any cut", async () => {
  const { inflater: codec, got } = inflater();
  for (let cut = 0; cut <= ONE_BLOCK.length; cut++) {
    await push(codec, ONE_BLOCK.subarray(0, cut), false);
    await push(codec, ONE_BLOCK.subarray(cut));
  }
  assertEquals(got.texts, Array(ONE_BLOCK.length + 1).fill("Hello"));
  codec.close();
});

Deno.test("7.2.3.2: a message that refers to the one before is read", async () => {
  const { inflater: codec, got } = inflater();
  await push(codec, ONE_BLOCK);
  await push(codec, SHARED_WINDOW);
  assertEquals(got.texts, ["Hello", "Hello"]);
  codec.close();
});

Deno.test("7.2.3.2: a message that refers to the one before is written", () => {
  const deflater = new Deflater(TAKEOVER);
  deflater.deflate(utf8("Hello"), true);
  assertEquals(deflater.deflate(utf8("Hello"), true).slice(), SHARED_WINDOW);
  deflater.close();
});

Deno.test("7.2.3.2: without takeover each message is written like the first one", () => {
  const deflater = new Deflater({ ...TAKEOVER, takeover: false });
  for (let i = 0; i < 3; i++) {
    assertEquals(deflater.deflate(utf8("Hello"), true).slice(), ONE_BLOCK);
  }
  deflater.close();
});

Deno.test("7.2.3.3: a stored block is read", async () => {
  const { inflater: codec, got } = inflater();
  await push(codec, STORED);
  assertEquals(got.texts, ["Hello"]);
  codec.close();
});

Deno.test("7.2.3.3: level 0 writes a stored block", () => {
  const deflater = new Deflater({ ...TAKEOVER, level: 0 });
  assertEquals(deflater.deflate(utf8("Hello"), true).slice(), STORED);
  deflater.close();
});

for (const takeover of [true, false]) {
  Deno.test(`7.2.3.4: final blocks are read repeatedly, takeover ${takeover}`, async () => {
    const { inflater: codec, got } = inflater({ takeover });
    for (let i = 0; i < 3; i++) await push(codec, FINAL);
    assertEquals(got.texts, ["Hello", "Hello", "Hello"]);
    codec.close();
  });
}

Deno.test("7.2.3.4: a final block in the middle of a stream with takeover keeps the window", async () => {
  const { inflater: codec, got } = inflater();
  await push(codec, FINAL);
  await push(codec, SHARED_WINDOW);
  await push(codec, FINAL);
  await push(codec, FINAL);
  await push(codec, SHARED_WINDOW);
  assertEquals(got.texts, Array(5).fill("Hello"));
  codec.close();
});

Deno.test("7.2.3.4: bytes after a final block of a message are ignored", async () => {
  const { inflater: codec, got } = inflater();
  await push(codec, join([FINAL, ONE_BLOCK]));
  await push(codec, join([FINAL, Uint8Array.of(0xff, 0xff, 0xff)]));
  await push(codec, FINAL, false);
  await push(codec, ONE_BLOCK, false);
  await push(codec, STORED);
  await push(codec, SHARED_WINDOW);
  assertEquals(got.texts, Array(4).fill("Hello"));
  codec.close();
});

Deno.test("7.2.3.4: a final block without the byte that pads it is read", async () => {
  const { inflater: codec, got } = inflater();
  await push(codec, FINAL.subarray(0, 7));
  await push(codec, SHARED_WINDOW);
  assertEquals(got.texts, ["Hello", "Hello"]);
  codec.close();
});

Deno.test("7.2.3.5: a message of two blocks is read", async () => {
  const { inflater: codec, got } = inflater();
  await push(codec, TWO_BLOCKS);
  assertEquals(got.texts, ["Hello"]);
  codec.close();
});

Deno.test("7.2.3.5: fragments are written as blocks of one message", async () => {
  const deflater = new Deflater(TAKEOVER);
  const first = deflater.deflate(utf8("He"), false).slice();
  const second = deflater.deflate(utf8("llo"), true).slice();
  assertEquals(
    first.slice(-4),
    Uint8Array.of(0x00, 0x00, 0xff, 0xff),
    "the peer must get it at once",
  );
  const { inflater: codec, got } = inflater();
  await push(codec, join([first, second]));
  assertEquals(got.texts, ["Hello"]);
  deflater.close();
  codec.close();
});

Deno.test("7.2.3.6: an empty message is one byte, in either direction", async () => {
  for (const takeover of [true, false]) {
    const deflater = new Deflater({ ...TAKEOVER, takeover });
    const { inflater: codec, got } = inflater({ takeover });
    assertEquals(deflater.deflate(utf8(""), true).slice(), Uint8Array.of(0x00));
    await push(codec, Uint8Array.of(0x00));
    await push(codec, deflater.deflate(utf8("Hello"), true).slice());
    await push(codec, deflater.deflate(utf8(""), true).slice());
    assertEquals(await deflateInTurns(deflater, utf8("")), Uint8Array.of(0x00));
    await push(codec, Uint8Array.of(0x00));
    await push(codec, deflater.deflate(utf8("Hello"), true).slice());
    assertEquals(got.texts, ["", "Hello", "", "", "Hello"]);
    deflater.close();
    codec.close();
  }
});

Deno.test("7.2.3.6: an empty last fragment ends the message", async () => {
  for (const takeover of [true, false]) {
    const deflater = new Deflater({ ...TAKEOVER, takeover });
    const { inflater: codec, got } = inflater({ takeover });
    for (let i = 0; i < 2; i++) {
      const first = deflater.deflate(utf8("Hello"), false).slice();
      assertEquals(deflater.deflate(utf8(""), false).length, 0);
      const last = deflater.deflate(utf8(""), true).slice();
      assertEquals(last, Uint8Array.of(0x00));
      await push(codec, first, false);
      await push(codec, last);
    }
    assertEquals(got.texts, ["Hello", "Hello"]);
    assert(!deflater.busy && !codec.busy);
    deflater.close();
    codec.close();
  }
});
