import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import {
  type Connection,
  ConnectionClosedError,
  type ConnectOptions,
  Context,
  InvalidStateError,
  ProtocolError,
  QueueFullError,
} from "../../mod.ts";
import { numbered, numberOf } from "../support/messages.ts";
import { RAW_LISTENERS, rawHost, rawPeer, testPair, testRaw } from "../support/pair.ts";
import { ConsoleErrors } from "../support/console_errors.ts";
import { turn, until } from "../support/until.ts";
import { mayFail } from "../support/failure.ts";

const KIB = 1024;

Deno.test("fault 22: an error of the application's source is never sent to the peer as a violation", async () => {
  const errors: unknown[] = [];
  for (const open of [rawPeer, rawHost]) {
    await using peer = await open({ onError: (_, error) => void errors.push(error) });
    const { conn, raw } = peer;
    const mine = new ProtocolError(9999, "invalid-utf8", "ä".repeat(120));
    const sent = conn.sendStream((function* () {
      yield "the beginning";
      throw mine;
    })());
    assertEquals(await assertRejects(() => sent), mine);
    const { payload } = await raw.next(8);
    assertEquals([...payload], [1011 >> 8, 1011 & 255]);
    raw.close();
    const record = await conn.closed;
    assertEquals([record.sent!.code, record.cause], [1011, mine]);
    assertEquals(errors.pop(), mine);
  }
});

testRaw(
  "a source that rejects with undefined fails the connection with an error",
  async (rawPeer) => {
    const errors: unknown[] = [];
    await using peer = await rawPeer({ onError: (_, error) => void errors.push(error) });
    const { conn, raw } = peer;
    const sent = conn.sendStream((async function* () {
      yield "the beginning";
      await Promise.reject();
    })());
    assertEquals(await sent.catch((error) => error), undefined);
    await raw.closeCode();
    raw.close();
    const { cause } = await conn.closed;
    assertInstanceOf(cause, Error);
    assertEquals(errors, [cause]);
  },
  RAW_LISTENERS,
);

/** Endless pieces that record the length of the queue whenever one is requested. */
function* pieces(conn: Connection, size: number, seen: { most: number; given: number }) {
  for (;;) {
    seen.most = Math.max(seen.most, conn.queuedBytes);
    seen.given++;
    yield new Uint8Array(size);
  }
}

for (const maxQueueBytes of [1, 1000, 100_000]) {
  for (const size of [1, 100, 131_072]) {
    Deno.test(`fault 33: a stream with pieces of ${size} bytes never queues more than ${maxQueueBytes}`, async () => {
      const highWaterMark = Math.min(maxQueueBytes, 64 * KIB);
      await using peer = await rawPeer({ maxQueueBytes, highWaterMark });
      const { conn, raw } = peer;
      const seen = { most: 0, given: 0 };
      // Told by the source, since a kernel that accepts everything at once leaves no turn of the event loop for a long time.
      const enough = Promise.withResolvers<void>();
      const sent = conn.sendStream((function* () {
        for (const piece of pieces(conn, size, seen)) {
          if (conn.stats().bytesSent > 3 * maxQueueBytes) enough.resolve();
          yield piece;
        }
      })());
      const frames = raw.frames();
      await enough.promise;
      assert(conn.stats().queueHighWater <= maxQueueBytes, `${conn.stats().queueHighWater}`);
      conn.terminate();
      await assertRejects(() => sent, ConnectionClosedError);
      await mayFail(frames, "the stream ends in the middle of a frame");
      assert(seen.most <= maxQueueBytes, `${seen.most} were queued`);
    });
  }
}

for (const highWaterMark of [0, 1, 100]) {
  Deno.test(`a stream with highWaterMark ${highWaterMark} is sent in frames of 8 KiB, and no more of it is queued`, async () => {
    await using peer = await rawPeer({ highWaterMark });
    const { conn, raw } = peer;
    const seen = { most: 0, given: 0 };
    const sent = conn.sendStream((function* () {
      const all = pieces(conn, 100 * KIB, seen);
      for (let i = 0; i < 10; i++) yield all.next().value!;
    })());
    let frames = 0, bytes = 0;
    while (bytes < 1000 * KIB) {
      const { payload } = (await raw.frame())!;
      frames++;
      bytes += payload.length;
    }
    await sent;
    assert(frames <= 10 * (100 / 8 + 1), `${frames} frames`);
    assert(conn.stats().queueHighWater <= 16 * KIB, `${conn.stats().queueHighWater} were queued`);
  });
}

testRaw(
  "the error for a message that is refused during a stream names the reserved space",
  async (rawPeer) => {
    await using peer = await rawPeer({ maxQueueBytes: 40_000, highWaterMark: 1000 });
    const { conn, raw } = peer;
    const gate = Promise.withResolvers<string>();
    const sent = conn.sendStream((async function* () {
      yield await gate.promise;
    })());
    // A quarter of the limit is reserved.
    assert(!conn.send(new Uint8Array(30_000)));
    const error = assertThrows(() => conn.send("x"), QueueFullError);
    assertEquals(
      error.message,
      "Cannot queue the message: 30000 of 40000 bytes are queued, and 10000 are kept for an unfinished sendStream",
    );
    gate.resolve("end");
    await sent;
    // Nothing is reserved any more.
    conn.send(new Uint8Array(9000));
    assertEquals((await raw.next(2)).payload.length, 30_000);
  },
  RAW_LISTENERS,
);

testRaw(
  "fault 33: messages that fill the queue after a stream don't block it",
  async (rawPeer) => {
    const maxQueueBytes = 100_000;
    for (const whenQueueFull of ["throw", "drop"] as const) {
      await using peer = await rawPeer({ maxQueueBytes, highWaterMark: 1000, whenQueueFull });
      const { conn, raw } = peer;
      let given = 0;
      const sent = conn.sendStream((function* () {
        for (; given < 50; given++) {
          // Messages during the stream, more than there is room for.
          try {
            while (conn.send(numbered(given, 7000)) || whenQueueFull === "throw");
          } catch (error) {
            assertInstanceOf(error, QueueFullError);
          }
          yield new Uint8Array(3000);
        }
      })());
      let streamed = 0, behind = 0;
      const read = (async () => {
        for (const { opcode, payload, fin } of await raw.frames()) {
          if (opcode === 8) break;
          if (opcode === 0 || !fin) streamed += payload.length;
          else behind++;
        }
      })();
      await sent;
      conn.close();
      await raw.sendClose(1000);
      await read;
      const { queueHighWater } = conn.stats();
      assertEquals([given, streamed], [50, 150_000]);
      assert(behind >= 10, `${behind} messages during it`);
      assert(queueHighWater <= maxQueueBytes, `${queueHighWater} were queued`);
    }
  },
  RAW_LISTENERS,
);

Deno.test('fault 34: whenQueueFull "close" drops the queue: drained() rejects, and onDrain isn\'t called', async () => {
  let drains = 0;
  await using peer = await rawPeer({
    maxQueueBytes: 50_000,
    highWaterMark: 1000,
    whenQueueFull: "close",
    onDrain: () => void drains++,
    onError() {},
  });
  const { conn, raw } = peer;
  conn.pauseSending();
  for (let i = 0; i < 50; i++) conn.send(new Uint8Array(1000));
  const waits = [conn.drained(), conn.drained()];
  assertEquals(conn.send("one too many"), false);
  for (const wait of waits) await assertRejects(() => wait, ConnectionClosedError, "closing");
  await raw.next(8);
  await raw.sendClose(1013);
  const record = await conn.closed;
  assertEquals([drains, record.sent!.code, record.unsentMessages], [0, 1013, 50]);
});

testPair(
  "fault 39: a sender that continues after drained() delays onDrain until the queue has drained again",
  async (pair) => {
    const levels: number[] = [];
    await using both = await pair({ onMessage() {} }, {
      onDrain: (conn) => void levels.push(conn.queuedBytes),
    });
    const { client } = both;
    client.send(new Uint8Array(100_000));
    await client.drained();
    client.send(new Uint8Array(200_000));
    await until(() => client.queuedBytes === 0);
    await turn();
    assertEquals(levels, [0]);
    assertEquals(client.stats().drains, 2);
  },
);

Deno.test("fault 38: close(null) sends a close frame without a code", async () => {
  for (const open of [rawPeer, rawHost]) {
    await using peer = await open();
    const { conn, raw } = peer;
    assertThrows(() => conn.close(null, "why"), TypeError, "without a code");
    conn.close(null);
    assertEquals((await raw.next(8)).payload.length, 0);
    await raw.sendClose();
    raw.close();
    const record = await conn.closed;
    assertEquals([record.sent, record.code], [{ code: 1005, reason: "" }, 1005]);
    assertEquals(
      `${record}`,
      "sent a close frame without code; received a close frame without code",
    );
  }
});

testPair("drained() rejects when its signal is aborted, and others keep waiting", async (pair) => {
  await using both = await pair();
  const { client } = both;
  client.pauseSending();
  client.send("x");
  const controller = new AbortController(), reason = new Error("enough");
  const given = client.drained({ signal: controller.signal }), other = client.drained();
  controller.abort(reason);
  const error = await assertRejects(() => given, DOMException);
  assertEquals([error.name, error.cause], ["AbortError", reason]);
  const late = await assertRejects(
    () => client.drained({ signal: controller.signal }),
    DOMException,
  );
  assertEquals(late.name, "AbortError");
  client.resumeSending();
  await other;
  await client.drained({ signal: new AbortController().signal });
  assertThrows(() => client.drained({ signal: {} as AbortSignal }), TypeError, "signal");
});

testPair(
  "sendStream: a signal ends a stream that waits for its turn, without other effects",
  async (pair) => {
    await using both = await pair();
    const { client, server } = both;
    client.pauseSending();
    client.send("before");
    const controller = new AbortController();
    let asked = 0, returned = 0;
    const source = {
      [Symbol.iterator]: () => ({
        next: () => (asked++, { done: false as const, value: "x" }),
        return: () => (returned++, { done: true as const, value: undefined }),
      }),
    };
    const sent = client.sendStream(source, { signal: controller.signal });
    client.send("behind");
    await turn();
    controller.abort();
    assertEquals((await assertRejects(() => sent, DOMException)).name, "AbortError");
    client.resumeSending();
    assertEquals([await server.receive(), await server.receive()], ["before", "behind"]);
    assertEquals([asked, returned, client.state], [0, 1, "open"]);
    const late = client.sendStream(source, { signal: controller.signal });
    assertEquals((await assertRejects(() => late, DOMException)).name, "AbortError");
    assertEquals([asked, returned], [0, 2]);
  },
);

testPair(
  "sendStream: a signal in the middle fails the connection with 1011, and onError isn't called for it",
  async (pair) => {
    const errors: unknown[] = [];
    await using both = await pair({ maxMessageSize: 0, onMessage() {} }, {
      onError: (_, error) => void errors.push(error),
    });
    const { client, server } = both;
    const controller = new AbortController();
    let returned = 0;
    const sent = client.sendStream({
      [Symbol.asyncIterator]: () => ({
        next: () =>
          server.stats().bytesReceived > 1_000_000
            ? new Promise<never>(() => {})
            : Promise.resolve({ done: false as const, value: new Uint8Array(50_000) }),
        return: () => Promise.resolve({ done: true as const, value: returned++ }),
      }),
    }, { signal: controller.signal });
    await until(() => server.stats().bytesReceived > 1_000_000);
    controller.abort();
    const error = await assertRejects(() => sent, DOMException);
    const record = await client.closed;
    assertEquals([error.name, record.cause, record.sent!.code], ["AbortError", error, 1011]);
    assertEquals([errors, returned], [[], 1]);
    assertEquals((await server.closed).code, 1011);
  },
);

/** Every way to send, each with its arguments. */
const WAYS: Record<string, (conn: Connection) => unknown> = {
  send: (conn) => conn.send("data"),
  sendText: (conn) => conn.sendText("data"),
  sendBinary: (conn) => conn.sendBinary("data"),
  sendFragment: (conn) => conn.sendFragment("data"),
  sendFrame: (conn) => conn.sendFrame({ opcode: 1, payload: "data" }),
  ping: (conn) => conn.ping("data"),
  pong: (conn) => conn.pong("data"),
};

testPair(
  "fault 58: a send in the wrong state throws, or rejects if it returns a promise, and the error contains the data",
  async (pair) => {
    using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    await using ctx = new Context({ onError() {} });
    const connecting = ctx.connect(`ws://127.0.0.1:${silent.addr.port}/`);
    await using both = await pair();
    const { client } = both;
    client.close();
    const results: Record<string, unknown> = {};
    for (const [name, way] of Object.entries(WAYS)) {
      for (
        const [conn, Kind, words] of [
          [connecting, InvalidStateError, "connecting"],
          [client, ConnectionClosedError, "clos"],
        ] as const
      ) {
        let error: InvalidStateError | ConnectionClosedError;
        if (name === "ping") {
          error = await assertRejects(() => way(conn) as Promise<unknown>, Kind, words);
        } else error = assertThrows(() => way(conn), Kind, words);
        assertEquals(error.data, "data", name);
        results[name] = error;
      }
    }
    assertEquals(Object.keys(results).length, 7);
    await assertRejects(() => connecting.sendStream(["x"]), InvalidStateError, "connecting");
    await assertRejects(() => client.sendStream(["x"]), ConnectionClosedError);
    await client.closed;
    for (const way of ["send", "pong"]) {
      assertThrows(() => WAYS[way](client), ConnectionClosedError);
    }
  },
);

testPair(
  "fault 58: ping rejects for a full queue and throws for an invalid argument; pong throws for both",
  async (pair) => {
    await using both = await pair();
    const { client } = both;
    const long = "x".repeat(126);
    assertThrows(() => client.ping(long), RangeError, "126");
    assertThrows(() => client.pong(long), RangeError, "126");
    assertThrows(() => client.ping(7 as unknown as string), TypeError);
    const pings = Array.from({ length: 64 }, () => client.ping());
    const error = await assertRejects(() => client.ping("65"), QueueFullError);
    assertEquals(error.data, "65");
    await Promise.all(pings);
    client.shutdownRead();
    await assertRejects(() => client.ping(), InvalidStateError, "shutdownRead");
  },
);

testPair(
  "send in the middle of a fragmented message is refused, and the error contains the message",
  async (pair) => {
    await using both = await pair();
    both.client.sendFragment("half");
    const error = assertThrows(() => both.client.send("whole"), InvalidStateError, "unfinished");
    assertEquals(error.data, "whole");
  },
);

/** Connects to a closed port; returns the arguments of each `console.error`. */
async function failToConnect(use: (conn: Connection) => unknown, options: ConnectOptions = {}) {
  using errors = new ConsoleErrors();
  await using ctx = new Context();
  const conn = ctx.connect("ws://127.0.0.1:1/", options);
  const used = use(conn);
  if (used instanceof Promise) mayFail(used, "the connect fails");
  await until(() => conn.state === "closed");
  await turn();
  return errors.calls;
}

Deno.test("fault 59: a failed connect that isn't handled is reported by one line on the console", async () => {
  for (const options of [{}, { onConnect() {} }, { onMessage() {} }]) {
    const lines = await failToConnect(() => {}, options);
    assertEquals(lines.length, 1);
    const line = lines[0].join(" ");
    assert(line.includes("refused") && !line.includes("\n"), line);
  }
});

Deno.test("fault 59: a failed connect that is handled, or was cancelled, isn't reported on the console", async () => {
  const listeners: ((conn: Connection) => unknown)[] = [
    (conn) => conn.opened,
    (conn) => conn.closed,
    (conn) => conn.receive(),
    (conn) => conn[Symbol.asyncIterator]().next(),
    (conn) => conn.messages(),
    (conn) => conn.messageStreams(),
    (conn) => conn.readable,
    (conn) => conn.writable,
    (conn) => conn.on({ onError() {} }),
    (conn) => conn.on({ onClose() {} }),
    (conn) => conn.close(),
    (conn) => conn.terminate(),
  ];
  for (const listen of listeners) assertEquals(await failToConnect(listen), [], `${listen}`);
  for (const options of [{ onError() {} }, { onClose() {} }, { signal: AbortSignal.abort() }]) {
    assertEquals(await failToConnect(() => {}, options), []);
  }
});

Deno.test("a connect whose signal is aborted: opened rejects with AbortError, then onClose is called, and not onError", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const told: string[] = [];
  const controller = new AbortController();
  await using ctx = new Context({
    onError: () => void told.push("error"),
    onClose: (_, { cause }) => void told.push(`close ${(cause as Error).name}`),
  });
  const conn = ctx.connect(`ws://127.0.0.1:${listener.addr.port}/`, { signal: controller.signal });
  using _accepted = await listener.accept();
  const opened = conn.opened.catch(({ name }) => told.push(`opened ${name}`));
  controller.abort();
  await opened;
  assertEquals((await conn.closed).code, 1006);
  assertEquals(told, ["opened AbortError", "close AbortError"]);
});

testPair(
  "messages keep their order while streams and messages share a small queue",
  async (pair) => {
    const got: number[] = [];
    await using both = await pair({
      onMessage: (_, data) => void got.push(numberOf(data)),
    }, { maxQueueBytes: 3000, highWaterMark: 1000 });
    const { client } = both;
    const sent: Promise<void>[] = [];
    for (let i = 0; i < 50; i++) {
      if (i % 5 === 0) sent.push(client.sendStream([numbered(i, 100), new Uint8Array(5000)]));
      else if (!client.send(numbered(i, 100))) await client.drained();
    }
    await Promise.all(sent);
    await until(() => got.length === 50);
    assertEquals(got, Array.from({ length: 50 }, (_, i) => i));
  },
);
