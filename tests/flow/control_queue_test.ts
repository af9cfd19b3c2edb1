import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ConnectionClosedError, QueueFullError, TimeoutError } from "../../mod.ts";
import { numbered } from "../support/messages.ts";
import { pair, rawPeer, testRaw } from "../support/pair.ts";
import { join } from "../support/bytes.ts";
import { standstill, turn, until } from "../support/until.ts";

const KIB = 1024;

for (
  const [name, sizes] of [
    ["128 messages of 64 KiB", Array<number>(128).fill(64 * KIB)],
    ["8192 messages of 1 KiB", Array<number>(8192).fill(KIB)],
    ["messages of 60 KiB and of 1 MiB in turns", Array(8).fill([60 * KIB, 1024 * KIB]).flat()],
  ] as const
) {
  Deno.test(`with ${name} queued, pongs and pings are sent after at most 64 KiB or one frame`, async () => {
    // The largest position of a control frame, by the number of bytes that were written before.
    const bound = (written: number) => written + Math.max(64 * KIB, ...sizes) + 200;
    const pinged = Promise.withResolvers<number>();
    await using peer = await rawPeer({
      maxQueueBytes: 0,
      onPing: (conn) => pinged.resolve(conn.stats().bytesSent),
    });
    const { conn, raw } = peer;
    sizes.forEach((size, i) => conn.send(numbered(i, size)));
    await turn();
    const ours = bound(conn.stats().bytesSent);
    const round = conn.ping("ours");
    await raw.send(9, "theirs");
    const theirs = bound(await pinged.promise);
    const messages: number[] = [];
    let pings = 0, pongs = 0;
    while (messages.length < sizes.length) {
      const frame = (await raw.frame())!;
      if (frame.opcode === 9) {
        pings++;
        assert(frame.start <= ours, `our ping is at ${frame.start}, the bound is ${ours}`);
        await raw.send(10, frame.payload);
      } else if (frame.opcode === 10) {
        pongs++;
        assert(frame.start <= theirs, `our pong is at ${frame.start}, the bound is ${theirs}`);
        assertEquals(new TextDecoder().decode(frame.payload), "theirs");
      } else {
        messages.push(new DataView(frame.payload.buffer).getUint32(0));
      }
    }
    assert(await round > 0);
    assertEquals([pings, pongs], [1, 1]);
    assertEquals(messages, [...messages.keys()]);
  });
}

testRaw(
  "the latest 64 pings are answered if nothing could be written in the meantime",
  async (open) => {
    await using peer = await open({ maxQueueBytes: 0 });
    const { conn, raw } = peer;
    let seen = 0;
    conn.on({ onPing: () => seen++ });
    for (let i = 0; i < 192; i++) conn.send(numbered(i, 64 * KIB));
    await standstill(() => conn.stats().bytesSent);
    for (let i = 0; i < 150; i++) {
      await raw.send(9, `${i}`);
      await until(() => seen === i + 1);
    }
    const pongs: string[] = [];
    for (let messages = 0; messages < 192;) {
      const { opcode, payload } = (await raw.frame())!;
      if (opcode === 10) pongs.push(new TextDecoder().decode(payload));
      else messages++;
    }
    // Earlier pongs were replaced.
    assertEquals(pongs, Array.from({ length: 64 }, (_, i) => `${150 - 64 + i}`));
  },
);

Deno.test("every ping of one read is answered if the peer reads the answers", async () => {
  await using peer = await rawPeer();
  const { raw } = peer;
  await raw.write(join(["a", "b", "c"].map((text) => raw.encode(9, text))));
  for (const expected of ["a", "b", "c"]) {
    assertEquals(new TextDecoder().decode((await raw.next(10)).payload), expected);
  }
});

Deno.test("more than 64 unsent pings and pongs lead to a QueueFullError, and they don't count in queuedBytes", async () => {
  await using peer = await rawPeer();
  const { conn, raw } = peer;
  const rounds = [];
  for (let i = 0; i < 32; i++) {
    rounds.push(conn.ping(`${i}`));
    conn.pong("unasked");
  }
  assertEquals([conn.queuedBytes, conn.queuedMessages], [0, 0]);
  const refused = conn.ping("65th");
  assertThrows(() => conn.pong(), QueueFullError);
  assert((await assertRejects(() => refused, QueueFullError)).data === "65th");
  for (let i = 0; i < 64; i++) assertEquals((await raw.frame())!.opcode, i % 2 === 0 ? 9 : 10);
  // A pong answers its ping and all earlier ones.
  await raw.send(10, "30");
  await Promise.all(rounds.slice(0, 31));
  let last = false;
  rounds[31].then(() => last = true);
  await turn();
  assert(!last);
  await raw.send(10, "no such ping");
  await raw.send(10, "31");
  await rounds[31];
  conn.ping();
});

Deno.test("a payload of 125 bytes is sent, and 126 bytes throw a RangeError", async () => {
  const got = Promise.withResolvers<Uint8Array>();
  await using both = await pair({ onPong: (_, payload) => got.resolve(payload) });
  await both.client.ping("x".repeat(125));
  assertThrows(() => both.client.ping("x".repeat(126)), RangeError, "126");
  assertThrows(() => both.client.pong(new Uint8Array(126)), RangeError, "126");
  both.client.pong(new Uint8Array(125));
  assertEquals((await got.promise).length, 125);
});

Deno.test("a ping without a payload gets a unique one", async () => {
  await using peer = await rawPeer();
  peer.conn.ping();
  peer.conn.ping();
  assertEquals(
    (await peer.raw.frame())!.payload.join() === (await peer.raw.frame())!.payload.join(),
    false,
  );
});

Deno.test("a ping rejects at its timeout, by its signal, and with the connection", async () => {
  await using peer = await rawPeer();
  const { conn, raw } = peer;
  await assertRejects(() => conn.ping("a", { timeout: 5 }), TimeoutError, "5 ms");
  const abort = new AbortController();
  const aborted = assertRejects(
    () => conn.ping("b", { signal: abort.signal }),
    DOMException,
    "aborted",
  );
  abort.abort();
  await aborted;
  await assertRejects(() => conn.ping("c", { signal: abort.signal }), DOMException, "aborted");
  // The pong of a cancelled ping has no effect, and doesn't affect others.
  const round = conn.ping("d");
  await raw.next(9);
  await raw.send(10, "a");
  const ended = assertRejects(() => round, ConnectionClosedError);
  conn.terminate();
  await ended;
  await assertRejects(() => conn.ping(), ConnectionClosedError);
  assertThrows(() => conn.pong(), ConnectionClosedError);
});

Deno.test("the counters have the last round trip", async () => {
  await using both = await pair();
  assertEquals(both.client.stats().lastRoundTrip, null);
  const round = await both.client.ping();
  assertEquals(both.client.stats().lastRoundTrip, round);
});

Deno.test("a ping is answered before our close frame, and not after it", async () => {
  await using peer = await rawPeer({ maxQueueBytes: 0 });
  const { conn, raw } = peer;
  let seen = 0;
  conn.on({ onPing: () => seen++ });
  for (let i = 0; i < 192; i++) conn.send(numbered(i, 64 * KIB));
  conn.close();
  await raw.send(9, "while the close frame waits");
  await until(() => seen === 1);
  let pongs = 0;
  for (;;) {
    const { opcode } = (await raw.frame())!;
    if (opcode === 10) pongs++;
    if (opcode === 8) break;
  }
  assertEquals(pongs, 1);
  await raw.send(9, "too late");
  await raw.send(8);
  assertEquals(await raw.frame(), null);
});
