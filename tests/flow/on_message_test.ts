import { assert, assertEquals } from "@std/assert";
import type { Connection } from "../../mod.ts";
import { numbered, numberOf, upTo } from "../support/messages.ts";
import { RAW_LISTENERS, rawHost, rawPeer, testPair, testRaw } from "../support/pair.ts";
import { join } from "../support/bytes.ts";
import { turn, until } from "../support/until.ts";

const KIB = 1024;

/** An onMessage whose promises are settled by the test. */
function slow() {
  const log: string[] = [];
  const waiting: (() => void)[] = [];
  return {
    log,
    onMessage(_: Connection, data: string | Uint8Array) {
      log.push(`${data}`);
      return new Promise<void>((resolve) => waiting.push(resolve));
    },
    async settle() {
      await until(() => waiting.length > 0);
      waiting.shift()!();
      await turn();
    },
  };
}

testRaw(
  "a promise of onMessage holds the next message, also of the same segment",
  async (rawPeer) => {
    const { log, onMessage, settle } = slow();
    await using peer = await rawPeer({ onMessage });
    const { conn, raw } = peer;
    await raw.write(join(["a", "b", "c"].map((text) => raw.encode(1, text))));
    for (const expected of ["a", "ab", "abc"]) {
      await until(() => log.join("") === expected);
      await raw.send(9);
      await raw.next(10);
      assertEquals(log.join(""), expected);
      await settle();
    }
    assertEquals(conn.stats().messagesReceived, 3);
  },
  RAW_LISTENERS,
);

testPair(
  "while onMessage's promise is unsettled the sender's queue fills, and all messages arrive in order",
  async (pair) => {
    const got: number[] = [];
    const gate = Promise.withResolvers<void>();
    await using both = await pair({
      async onMessage(_, data) {
        got.push(numberOf(data));
        await gate.promise;
      },
    });
    for (let i = 0; i < 192; i++) both.client.send(numbered(i, 64 * KIB));
    await until(() => got.length === 1);
    await turn();
    assert(both.client.queuedBytes > 4 * 1024 * KIB);
    assertEquals(got, [0]);
    gate.resolve();
    await until(() => got.length === 192);
    assertEquals(got, upTo(192));
  },
);

Deno.test("await conn.ping() in onMessage resolves for every message of a batch", async () => {
  for (const open of [rawPeer, rawHost]) {
    const rounds: number[] = [];
    await using peer = await open({
      onMessage: async (conn: Connection) => {
        rounds.push(await conn.ping());
      },
    });
    const { raw } = peer;
    await raw.write(join(["a", "b", "c"].map((text) => raw.encode(1, text))));
    for (let i = 0; i < 3; i++) await raw.send(10, (await raw.next(9)).payload);
    await until(() => rounds.length === 3);
    assert(rounds.every((ms) => ms >= 0));
  }
});

testPair(
  "messages between awaited ones are neither lost nor early",
  async (pair) => {
    // The promises settle in microtasks of different depth, so that deliveries and reads are interleaved in every order.
    const got: number[] = [];
    await using both = await pair({
      async onMessage(_, data) {
        const n = numberOf(data);
        for (let i = 0; i < n % 5; i++) await null;
        if (n % 7 === 0) await turn();
        got.push(n);
      },
    });
    for (let i = 0; i < 2000; i++) {
      both.client.send(numbered(i, 4 + (i * 37) % 300));
      if (i % 50 === 0) await turn();
    }
    await until(() => got.length === 2000);
    assertEquals(got, upTo(2000));
  },
);

testRaw("a thenable that isn't a promise holds messages, too", async (rawPeer) => {
  const log: string[] = [];
  let settle: (() => void) | undefined;
  await using peer = await rawPeer({
    onMessage(_, data) {
      log.push(data as string);
      return { then: (resolve: () => void) => void (settle = resolve) };
    },
  });
  await peer.raw.write(join([peer.raw.encode(1, "a"), peer.raw.encode(1, "b")]));
  await until(() => settle !== undefined);
  assertEquals(log, ["a"]);
  settle!();
  await until(() => log.length === 2);
}, RAW_LISTENERS);

testRaw(
  "the peer's close while onMessage's promise never settles: onClose is called at once if no message waits",
  async (rawPeer) => {
    await using peer = await rawPeer({ onMessage: () => new Promise(() => {}) });
    const { conn, raw } = peer;
    await raw.write(join([raw.encode(1, "a"), raw.encode(8)]));
    const close = await conn.closed;
    assertEquals([close.wasClean, close.undelivered], [true, 0]);
  },
  RAW_LISTENERS,
);

testRaw(
  "the peer's close while onMessage's promise never settles: waiting messages are dropped after closeTimeout",
  async (rawPeer) => {
    for (const end of ["close", "vanish"] as const) {
      const log: string[] = [];
      await using peer = await rawPeer({
        closeTimeout: 20,
        onMessage(_, data) {
          log.push(data as string);
          return new Promise(() => {});
        },
        onClose: (_, close) => log.push(`close ${close.undelivered}`),
      });
      const { conn, raw } = peer;
      const texts = ["a", "b", "c"].map((text) => raw.encode(1, text));
      await raw.write(join(end === "close" ? [...texts, raw.encode(8)] : texts));
      if (end === "vanish") raw.close();
      const close = await conn.closed;
      assertEquals(close.wasClean, end === "close");
      assertEquals(log, ["a", "close 2"]);
    }
  },
  RAW_LISTENERS,
);

testRaw(
  "messages that wait when the peer closes are all delivered, however long each takes",
  async (rawPeer) => {
    const log: string[] = [];
    await using peer = await rawPeer({
      closeTimeout: 300,
      async onMessage(_, data) {
        log.push(data as string);
        // Each takes less than closeTimeout, all of them take longer.
        const start = performance.now();
        await until(() => performance.now() - start > 60);
      },
      onClose: () => log.push("close"),
    });
    const { conn, raw } = peer;
    await raw.write(join([...upTo(6).map((i) => raw.encode(1, `${i}`)), raw.encode(8)]));
    await conn.closed;
    assertEquals(log, ["0", "1", "2", "3", "4", "5", "close"]);
  },
  RAW_LISTENERS,
);

testRaw(
  "after a pause and the peer's close, messages behind a promise that never settles are dropped after resume",
  async (rawPeer) => {
    const log: string[] = [];
    await using peer = await rawPeer({
      closeTimeout: 10,
      onMessage(_, data) {
        log.push(data as string);
        return new Promise(() => {});
      },
      onClose: () => log.push("close"),
    });
    const { conn, raw } = peer;
    await raw.write(join([raw.encode(1, "a"), raw.encode(1, "b")]));
    await until(() => conn.stats().messagesReceived === 2);
    conn.pause();
    await raw.send(8);
    await raw.frames();
    const start = performance.now();
    await until(() => performance.now() - start > 50);
    assertEquals(log, ["a"]);
    conn.resume();
    await conn.closed;
    assertEquals(log, ["a", "close"]);
  },
  RAW_LISTENERS,
);

for (const act of ["close", "terminate"] as const) {
  Deno.test(`${act} while onMessage's promise is unsettled drops and counts waiting messages`, async () => {
    const { log, onMessage } = slow();
    await using peer = await rawPeer({ onMessage });
    const { conn, raw } = peer;
    await raw.write(join(["a", "b", "c"].map((text) => raw.encode(1, text))));
    await until(() => conn.stats().messagesReceived === 3);
    conn[act]();
    if (act === "close") await raw.send(8);
    assertEquals((await conn.closed).undelivered, 2);
    assertEquals(log, ["a"]);
  });
}

Deno.test("onConnect's promise holds messages, also early ones, and pings are answered in the meantime", async () => {
  const gate = Promise.withResolvers<void>();
  const log: string[] = [];
  const early = new Uint8Array([0x81, 0x81, 0, 0, 0, 0, 0x61, 0x89, 0x80, 0, 0, 0, 0]);
  await using peer = await rawPeer({
    async onConnect() {
      log.push("connect");
      await gate.promise;
      log.push("connected");
    },
    onMessage: (_, data) => log.push(data as string),
  }, { early });
  assertEquals((await peer.raw.frame())!.opcode, 10);
  assertEquals(peer.conn.stats().messagesReceived, 1);
  assertEquals(log, ["connect"]);
  gate.resolve();
  await until(() => log.length === 3);
  assertEquals(log, ["connect", "connected", "a"]);
});

testRaw(
  "a rejected promise of onConnect is reported, and messages are delivered",
  async (rawPeer) => {
    const log: string[] = [];
    await using peer = await rawPeer({
      onConnect: () => Promise.reject(new Error("no")),
      onMessage: (_, data) => log.push(data as string),
      onError: (_, error) => log.push((error as Error).message),
    });
    await peer.raw.send(1, "a");
    await until(() => log.length === 2);
    assertEquals(log, ["no", "a"]);
  },
  RAW_LISTENERS,
);

Deno.test("close() in onConnect drops and counts early messages, and sends the close frame", async () => {
  const early = new Uint8Array([0x81, 0x81, 0, 0, 0, 0, 0x61]);
  const log: unknown[] = [];
  await using peer = await rawPeer({
    onConnect: (conn) => conn.close(3001, "not you"),
    onMessage: (_, data) => log.push(data),
  }, { early });
  const { payload } = await peer.raw.next(8);
  assertEquals(new TextDecoder().decode(payload.subarray(2)), "not you");
  await peer.raw.sendClose(3001);
  const close = await peer.conn.closed;
  assertEquals([close.code, close.undelivered, log.length], [3001, 1, 0]);
});

testRaw(
  "payload view: the view is valid until the callback returns or its promise settles, and isn't a copy",
  async (rawPeer) => {
    for (const view of [true, false]) {
      const kept: Uint8Array[] = [];
      const gate = Promise.withResolvers<void>();
      const first = Promise.withResolvers<void>();
      let intact = false, wrong = 0;
      await using peer = await rawPeer({
        payload: view ? "view" : "copy",
        onMessage(_, data) {
          const bytes = data as Uint8Array;
          kept.push(bytes);
          if (!bytes.every((byte) => byte === kept.length)) wrong++;
          if (kept.length > 1) return;
          first.resolve();
          return gate.promise.then(() => intact = bytes.every((byte) => byte === 1));
        },
      });
      const { conn, raw } = peer;
      await raw.send(2, new Uint8Array(40).fill(1));
      await first.promise;
      // Later messages are read into another buffer.
      for (let i = 2; i < 50; i++) await raw.send(2, new Uint8Array(40).fill(i));
      await until(() => conn.stats().messagesReceived === 49);
      gate.resolve();
      await until(() => kept.length === 49);
      assert(intact);
      assertEquals(wrong, 0);
      for (let i = 50; i < 200; i++) await raw.send(2, new Uint8Array(40).fill(i));
      await until(() => kept.length === 199);
      const unchanged = kept.every((bytes, i) => bytes.every((byte) => byte === i + 1));
      assertEquals(unchanged, !view, "later bytes overwrite a view, and not a copy");
    }
  },
  RAW_LISTENERS,
);

testRaw(
  "an onMessage that is set after the end isn't called",
  async (rawPeer) => {
    const log: unknown[] = [];
    await using peer = await rawPeer({ onClose: (_, { undelivered }) => log.push(undelivered) });
    const { conn, raw } = peer;
    await raw.write(join([raw.encode(1, "a"), raw.encode(1, "b"), raw.encode(8)]));
    await conn.closed;
    conn.on({ onMessage: (_, data) => log.push(data) });
    await turn();
    assertEquals([log, (await conn.closed).undelivered], [[2], 2]);
  },
  RAW_LISTENERS,
);
