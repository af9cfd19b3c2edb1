import { assert, assertEquals, assertThrows } from "@std/assert";
import { Deflater } from "../../src/deflate/deflater.ts";
import { MessageInflater } from "../../src/deflate/message_inflater.ts";
import { workQueue } from "../../src/deflate/work_queue.ts";
import { ProtocolError } from "../../src/protocol/protocol_error.ts";
import { assertBytes, deflateInTurns, json, noise, TAKEOVER } from "./helpers.ts";
import { utf8 } from "../support/bytes.ts";
import { turn } from "../support/until.ts";

function make(maxMessageSize = 0) {
  const messages: (string | Uint8Array)[] = [];
  const codec = new MessageInflater({ windowBits: 15, takeover: true, maxMessageSize }, {
    inflatedMessage: (data) => messages.push(data),
  });
  const push = (text: boolean, bytes: Uint8Array, final = true) =>
    new Promise<void>((resolve, reject) => {
      const done = (error: unknown) => error === null ? resolve() : reject(error);
      if (codec.push(text, bytes, 0, bytes.length, final, done)) resolve();
    });
  return { codec, messages, push };
}

const TEXTS = [
  "",
  "Hello",
  "Grüße, 世界 🌍",
  "\ufeffBOM",
  "🌍".repeat(50_000),
  "ä".repeat(1_000_001),
];

Deno.test("texts are inflated, short and long, whole and in pieces", async () => {
  const { codec, messages, push } = make();
  const deflater = new Deflater(TAKEOVER);
  for (const text of TEXTS) {
    await push(true, await deflateInTurns(deflater, utf8(text)));
    assert(messages.pop() === text);
    const packed = await deflateInTurns(deflater, utf8(text));
    const step = Math.ceil(packed.length / 20);
    for (let at = 0; at < packed.length; at += step) {
      await push(true, packed.subarray(at, at + step), at + step >= packed.length);
    }
    assert(messages.pop() === text);
    assertEquals(codec.buffered, 0);
  }
  deflater.close();
  codec.close();
});

Deno.test("binary messages of every magnitude belong to the application", async () => {
  const { codec, messages, push } = make();
  const deflater = new Deflater(TAKEOVER);
  const sent = [0, 1, 1000, 65535, 65536, 65537, 300_000, 1 << 20, (1 << 20) + 1, 5 << 20]
    .flatMap((length) => [noise(length), json(length), new Uint8Array(length)]);
  for (const message of sent) await push(false, await deflateInTurns(deflater, message));
  for (let i = 0; i < sent.length; i++) assertBytes(messages[i] as Uint8Array, sent[i]);
  assertEquals(workQueue.size, 0);
  deflater.close();
  codec.close();
});

Deno.test("a text that isn't UTF-8 fails with 1007, with the error at any place", async () => {
  const deflater = new Deflater(TAKEOVER);
  const wrong: Uint8Array[] = [
    Uint8Array.of(0x80),
    Uint8Array.of(0x41, 0xc3),
    Uint8Array.of(0xed, 0xa0, 0x80),
  ];
  for (const size of [100_000, 600_000]) {
    const early = new Uint8Array(size).fill(0x41), late = early.slice();
    early[100] = 0xff;
    late[size - 1] = 0xc3;
    wrong.push(early, late);
  }
  for (const bytes of wrong) {
    const { codec, messages, push } = make();
    const packed = await new Promise<Uint8Array>((resolve) => {
      const deflater = new Deflater(TAKEOVER);
      deflateInTurns(deflater, bytes).then((packed) => {
        deflater.close();
        resolve(packed);
      });
    });
    let error: unknown;
    await push(true, packed).catch((reason) => error = reason);
    assert(error instanceof ProtocolError);
    assertEquals((error as ProtocolError).closeCode, 1007);
    assertEquals(messages, []);
    assert(!codec.busy);
    codec.close();
  }
  deflater.close();
});

Deno.test("an unfinished message counts the bytes that it holds", async () => {
  const { codec, messages, push } = make();
  const deflater = new Deflater(TAKEOVER);
  await push(false, deflater.deflate(json(5000), false).slice(), false);
  assertEquals(codec.buffered, 5000);
  await push(false, deflater.deflate(json(5000), true).slice());
  assertEquals(codec.buffered, 0);
  assertEquals(messages.length, 1);
  deflater.close();
  codec.close();
});

Deno.test("an inflater that is closed while it joins a long message passes nothing on", async () => {
  const { codec, messages } = make();
  const deflater = new Deflater(TAKEOVER);
  const packed = await deflateInTurns(deflater, new Uint8Array(20 << 20));
  deflater.close();
  let done = false;
  assert(!codec.push(false, packed, 0, packed.length, true, () => done = true));
  while (workQueue.size > 0 && codec.buffered < 20 << 20) {
    await turn();
  }
  codec.close();
  assertEquals(workQueue.size, 0);
  await turn();
  assertEquals(messages, []);
  assert(!done);
});

Deno.test("a message above the limit fails with 1009, and its collected bytes are released", () => {
  const { codec } = make(1000);
  const deflater = new Deflater(TAKEOVER);
  const packed = deflater.deflate(json(1001), true).slice();
  const error = assertThrows(
    () => codec.push(false, packed, 0, packed.length, true, () => {}),
    ProtocolError,
  );
  assertEquals(error.closeCode, 1009);
  codec.close();
  assertEquals(codec.buffered, 0);
  deflater.close();
});
