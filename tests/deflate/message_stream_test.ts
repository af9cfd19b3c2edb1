import { assert, assertEquals } from "@std/assert";
import zlib from "node:zlib";
import { MessageInflater } from "../../src/deflate/message_inflater.ts";
import { workQueue } from "../../src/deflate/work_queue.ts";
import { ProtocolError } from "../../src/protocol/protocol_error.ts";
import { compressed } from "../support/deflate.ts";
import { testPair } from "../support/pair.ts";
import { join, text, utf8 } from "../support/bytes.ts";
import { assertBytes, json, noise } from "./helpers.ts";

/** A consumer of streams with room for `capacity` bytes, which takes them when the test says so. */
class Taker {
  readonly log: string[] = [];
  readonly messages: Uint8Array[] = [];
  readonly wholes: (string | Uint8Array)[] = [];
  /** The largest number of bytes that have waited. */
  most = 0;
  #parts: Uint8Array[] = [];
  #waiting = 0;

  constructor(public capacity: number) {}

  get room(): number {
    return this.capacity - this.#waiting;
  }

  start(isText: boolean): void {
    this.log.push(isText ? "text" : "binary");
  }

  chunk(bytes: Uint8Array): void {
    assert(bytes.length > 0, "an empty piece");
    this.#parts.push(bytes);
    this.#waiting += bytes.length;
    this.most = Math.max(this.most, this.#waiting);
  }

  end(): void {
    this.messages.push(join(this.#parts));
    this.#parts = [];
    this.log.push("end");
  }

  /** Takes all waiting bytes. */
  take(): number {
    const taken = this.#waiting;
    this.#waiting = 0;
    return taken;
  }

  inflatedMessage(data: string | Uint8Array): void {
    this.wholes.push(data);
  }
}

function make(capacity: number, { maxMessageSize = 0, takeover = true, claimed = true } = {}) {
  const taker = new Taker(capacity);
  const codec = new MessageInflater({ windowBits: 15, takeover, maxMessageSize }, taker);
  if (claimed) codec.claim(taker);
  let outcome: unknown = "pending";
  const push = (isText: boolean, bytes: Uint8Array, final = true) => {
    outcome = "pending";
    if (codec.push(isText, bytes, 0, bytes.length, final, (error) => outcome = error)) {
      outcome = null;
    }
    return outcome;
  };
  /** Waits until all turns are over. */
  const turns = async () => {
    do await new Promise((resolve) => setImmediate(resolve)); while (workQueue.size > 0);
    return outcome;
  };
  /** Takes bytes until everything that was pushed has passed. */
  const drain = async () => {
    while (outcome === "pending") {
      await turns();
      taker.take();
      codec.resume();
    }
    return outcome;
  };
  return { taker, codec, push, turns, drain };
}

Deno.test("fault 11a: inflating stops when the consumer has no room, and continues later", async () => {
  for (const takeover of [true, false]) {
    for (const capacity of [1, 1000, 65_535, 65_536, 100_000, 1 << 20]) {
      const message = json(capacity === 1 ? 300 : capacity === 1000 ? 200_000 : 3 << 20);
      const { taker, codec, push, turns, drain } = make(capacity, { takeover });
      assertEquals(push(false, compressed(message)), "pending");
      await turns();
      assert(codec.busy);
      assertEquals(codec.buffered, 0);
      assertEquals(taker.take(), capacity, "all of the room must be used");
      codec.resume();
      assertEquals(taker.take(), 0, "resume must not pass bytes on");
      assertEquals(await drain(), null);
      assert(!codec.busy);
      assertEquals(taker.most, capacity, "no more than the room may wait");
      assertEquals(taker.log, ["binary", "end"]);
      assertBytes(taker.messages[0], message);
      codec.close();
    }
  }
});

Deno.test("fault 11a: without room nothing is inflated, and resume has no effect", async () => {
  const { taker, codec, push, turns, drain } = make(0);
  push(false, compressed(json(500_000)));
  for (let i = 0; i < 3; i++) {
    codec.resume();
    await turns();
    assert(codec.busy);
    assertEquals([taker.log, workQueue.size], [[], 0]);
  }
  taker.capacity = 10_000;
  codec.resume();
  codec.resume();
  assertEquals(workQueue.size, 1, "repeated calls must lead to one turn");
  assertEquals(await drain(), null);
  assertBytes(taker.messages[0], json(500_000));
  codec.close();
});

Deno.test("fault 11a: successive messages in pieces keep their window", async () => {
  const { taker, codec, push, drain } = make(5000);
  const deflate = zlib.createDeflateRaw();
  const sent = [json(200_000), json(200_000, 2), noise(100_000), utf8("ä".repeat(50_000))];
  for (const [i, message] of sent.entries()) {
    const packed = await new Promise<Uint8Array>((resolve) => {
      const parts: Uint8Array[] = [];
      const keep = (part: Uint8Array) => parts.push(part);
      deflate.on("data", keep);
      deflate.write(message);
      deflate.flush(zlib.constants.Z_SYNC_FLUSH, () => {
        deflate.off("data", keep);
        resolve(join(parts).slice(0, -4));
      });
    });
    for (let at = 0; at < packed.length; at += 7777) {
      push(i === 3, packed.subarray(at, at + 7777), at + 7777 >= packed.length);
      assertEquals(await drain(), null);
    }
    assertBytes(taker.messages[i], message);
  }
  assertEquals(taker.log.filter((entry) => entry !== "end"), [
    "binary",
    "binary",
    "binary",
    "text",
  ]);
  assert(taker.most <= 5000);
  codec.close();
});

Deno.test("fault 11a: a message that fits is passed on whole", () => {
  const { taker, codec, push } = make(5000);
  assertEquals(push(true, compressed(utf8("Grüße"))), null);
  assertEquals(push(false, compressed(json(4999))), null);
  assertEquals(taker.wholes[0], "Grüße");
  assertBytes(taker.wholes[1] as Uint8Array, json(4999));
  assertEquals(taker.log, []);
  codec.close();
});

Deno.test("fault 11a: when a message is claimed in the middle, the collected bytes are the first piece", async () => {
  const words = "aä世🌍".repeat(20_000);
  for (const cut of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) {
    const { taker, codec, push, turns, drain } = make(70_000, { claimed: false });
    const message = utf8(words);
    const deflate = zlib.createDeflateRaw();
    // Flushed at each cut, so that the number of inflated bytes is known exactly.
    const pieces: Uint8Array[] = [];
    deflate.on("data", (part: Uint8Array) => pieces.push(part));
    const flushed = (bytes: Uint8Array) =>
      new Promise<Uint8Array>((resolve) => {
        deflate.write(bytes);
        deflate.flush(zlib.constants.Z_SYNC_FLUSH, () => resolve(join(pieces.splice(0))));
      });
    const first = await flushed(message.subarray(0, 40_000 + cut));
    const rest = await flushed(message.subarray(40_000 + cut));
    for (let at = 0; at < first.length; at += 10_000) {
      push(true, first.subarray(at, at + 10_000), false);
      await turns();
    }
    assert(codec.buffered >= 40_000);
    codec.claim(taker);
    assertEquals([codec.buffered, taker.log], [0, ["text"]]);
    assertEquals(taker.take(), 40_000 + cut);
    push(true, rest.slice(0, -4));
    assertEquals(await drain(), null);
    assertEquals(text(taker.messages[0]), words);
    codec.close();
  }
  const { taker, codec, push, drain } = make(70_000, { claimed: false });
  push(false, compressed(json(200_000)).subarray(0, 20_000), false);
  const held = codec.buffered;
  assert(held > 65_536);
  codec.claim(taker);
  assertEquals(taker.take(), held);
  push(false, compressed(json(200_000)).subarray(20_000));
  assertEquals(await drain(), null);
  assertBytes(taker.messages[0], json(200_000));
  codec.close();
});

Deno.test("fault 11a: text, limit and corruption are checked in pieces, too", async () => {
  const wrong = utf8("x".repeat(200_000));
  wrong[150_000] = 0xff;
  const cutOff = utf8("x".repeat(199_999) + "ä").slice(0, -1);
  const corrupt = compressed(json(200_000));
  corrupt.fill(0xff, 20_000, 20_020);
  for (
    const [isText, packed, code] of [
      [true, compressed(wrong), 1007],
      [true, compressed(cutOff), 1007],
      [false, corrupt, 1007],
      [false, compressed(json(300_001)), 1009],
    ] as const
  ) {
    const { taker, codec, push, drain } = make(10_000, { maxMessageSize: 300_000 });
    push(isText, packed);
    const error = await drain();
    assert(error instanceof ProtocolError, String(error));
    assertEquals((error as ProtocolError).closeCode, code);
    assert(!taker.log.includes("end"));
    codec.close();
  }
});

Deno.test("fault 11a: an inflater that is closed while it waits for room doesn't call back", async () => {
  const { taker, codec, push, turns } = make(1000);
  push(false, compressed(json(500_000)));
  await turns();
  taker.take();
  codec.close();
  codec.resume();
  assertEquals([await turns(), taker.take(), workQueue.size], ["pending", 0, 0]);
});

testPair(
  "fault 11a: messageStreams() streams a message that inflates to much more than readAhead",
  async (open) => {
    const message = join(Array.from({ length: 24 }, (_, i) => json(1 << 20, i)));
    await using ends = await open(
      { compression: true, readAhead: 16 * 1024, maxMessageSize: 0 },
      { compression: true, maxMessageSize: 0, maxQueueBytes: 0 },
    );
    ends.client.send(message);
    ends.client.send("then this");
    const messages = ends.server.messageStreams();
    const { value } = await messages.next();
    assertEquals(value!.type, "binary");
    let at = 0;
    for await (const chunk of value!.stream) {
      assert(chunk.length <= 64 * 1024);
      for (let i = 0; i < chunk.length; i += 997) assertEquals(chunk[i], message[at + i]);
      at += chunk.length;
    }
    assertEquals(at, message.length);
    const last = (await messages.next()).value!;
    assertEquals(await new Response(last.stream).text(), "then this");
  },
);

testPair(
  "fault 11a: cancelling a compressed message discards its rest, and closing discards all of it",
  async (open) => {
    await using ends = await open(
      { compression: true, readAhead: 16 * 1024, maxMessageSize: 0 },
      { compression: true },
    );
    ends.client.send(json(4 << 20));
    ends.client.send("then this");
    ends.client.send(json(4 << 20));
    const messages = ends.server.messageStreams();
    const first = (await messages.next()).value!;
    await first.stream.cancel();
    const second = (await messages.next()).value!;
    assertEquals(await new Response(second.stream).text(), "then this");
    const third = (await messages.next()).value!;
    assertEquals(third.type, "binary");
    ends.server.close(4000);
    assertEquals((await ends.client.closed).code, 4000);
    assertEquals((await ends.server.closed).wasClean, true);
  },
);
