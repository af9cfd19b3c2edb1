import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { type Connection, ConnectionClosedError, Context } from "../../mod.ts";
import { join, repeat } from "../support/bytes.ts";
import { MemoryConn } from "../support/memory_conn.ts";
import { RAW_LISTENERS, rawPeer, testPair, testRaw } from "../support/pair.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { turn, until } from "../support/until.ts";
import { mayFail } from "../support/failure.ts";

const KIB = 1024;

// ---- A low-water mark on receiving --------------------------------------------------------------------------------

const SLOW: Record<string, (conn: Connection, got: () => void) => Promise<unknown>> = {
  async "messages()"(conn, got) {
    for await (const _ of conn) {
      got();
      await turn();
    }
  },
  async "receive()"(conn, got) {
    for (;;) {
      await conn.receive();
      got();
      await turn();
    }
  },
  async "readable"(conn, got) {
    for await (const _ of conn.readable) {
      got();
      await turn();
    }
  },
  async "messageStreams()"(conn, got) {
    for await (const { stream } of conn.messageStreams()) {
      for await (const _ of stream) await turn();
      got();
    }
  },
  "onMessage"(conn, got) {
    conn.on({
      async onMessage() {
        await turn();
        got();
      },
    });
    return conn.closed;
  },
};

for (const [face, consume] of Object.entries(SLOW)) {
  Deno.test(
    `fault 10: ${face} that consumes messages one by one doesn't lead to a read for each`,
    async () => {
      const COUNT = 800, SIZE = 100;
      const ctx = new Context();
      const [stream, far] = MemoryConn.pair(1 << 20);
      const { read } = stream;
      let reads = 0;
      stream.read = (into) => {
        reads++;
        return read.call(stream, into);
      };
      const readAhead = 8 * KIB;
      const conn = ctx.adopt(stream, { handshake: false, readAhead });
      const raw = new RawPeer(far, "client");
      const writing = raw.write(repeat(raw.encode(2, new Uint8Array(SIZE)), COUNT));
      let got = 0;
      const consuming = mayFail(consume(conn, () => got++), "it ends with the connection");
      await until(() => got === COUNT);
      await writing;
      // Half of readAhead holds 25 messages as the receive queue counts them, and 3 as streams are counted.
      const atOnce = face === "messageStreams()" ? 3 : 25;
      assert(reads <= 3 * COUNT / atOnce, `${reads} reads for ${COUNT} messages`);
      conn.terminate();
      await consuming;
      await ctx.shutdown({ timeout: 0 });
    },
  );
}

testRaw(
  "fault 10: when readAhead is full, reading continues only after half of it is free",
  async (rawPeer) => {
    await using peer = await rawPeer({ readAhead: 64 * 100 });
    const { conn, raw } = peer;
    // An empty message counts as 64 bytes.
    const writing = raw.write(repeat(raw.encode(2), 500));
    await until(() => conn.stats().messagesReceived === 100);
    const messages = conn.messages();
    for (let i = 1; i < 50; i++) {
      await messages.next();
      await turn();
      assertEquals(conn.stats().messagesReceived, 100);
    }
    await messages.next();
    await until(() => conn.stats().messagesReceived === 150);
    for (let i = 50; i < 500; i++) await messages.next();
    await writing;
  },
);

for (const face of ["iterator", "onMessage"] as const) {
  Deno.test(
    `fault 10: a peer and a consumer of the same speed don't lead to a read for each message: ${face}`,
    async () => {
      const MESSAGE = 22, COUNT = 20_000;
      const ctx = new Context();
      const [stream] = MemoryConn.pair();
      let left = MESSAGE * COUNT, reads = 0;
      const empty = new Uint8Array(MESSAGE);
      empty.set([0x82, 0x80 | 16]);
      // All bytes are there at once, so that reads come as early as possible.
      stream.read = (into) => {
        if (left === 0) return new Promise(() => {});
        reads++;
        const count = Math.min(into.length, left), at = (MESSAGE * COUNT - left) % MESSAGE;
        for (let i = 0; i < count; i++) into[i] = empty[(at + i) % MESSAGE];
        left -= count;
        return Promise.resolve(count);
      };
      let got = 0;
      const all = Promise.withResolvers<void>();
      const take = () => {
        if (++got === COUNT) all.resolve();
      };
      const conn = ctx.adopt(stream, {
        handshake: false,
        ...(face === "onMessage" ? { onMessage: async () => await take() } : {}),
      });
      const iterate = async () => {
        for await (const _ of conn) take();
      };
      if (face === "iterator") mayFail(iterate(), "it ends with the connection");
      await all.promise;
      assert(reads < COUNT / 100, `${reads} reads`);
      conn.terminate();
      await ctx.shutdown({ timeout: 0 });
    },
  );
}

testRaw(
  "fault 10: a message larger than the free space is still read if it is requested",
  async (rawPeer) => {
    await using peer = await rawPeer({ readAhead: 1000, maxMessageSize: 0 });
    const { conn, raw } = peer;
    const sizes = [900, 100_000, 1, 900, 5, 2_000_000, 0];
    const writing = raw.write(join(sizes.map((size) => raw.encode(2, new Uint8Array(size)))));
    for (const size of sizes) {
      await turn();
      assertEquals((await conn.receive() as Uint8Array).length, size);
    }
    await writing;
  },
);

// ---- Claiming and releasing messages ------------------------------------------------------------------------------

testRaw("fault 16: a second return() doesn't affect another consumer", async (rawPeer) => {
  await using peer = await rawPeer();
  const { conn, raw } = peer;
  const first = conn.messages({ preventClose: true });
  await first.return!();
  const second = conn.messages();
  const pending = second.next();
  await first.return!();
  assertThrows(() => conn.messages(), TypeError, "already");
  await raw.send(1, "for the second");
  assertEquals((await pending).value, "for the second");
  assertEquals(conn.state, "open");
});

testRaw(
  "fault 16: return() of an ended iterator doesn't close a connection that another one reads",
  async (rawPeer) => {
    const aborting = new AbortController();
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    const first = conn.messages({ signal: aborting.signal });
    aborting.abort();
    const second = conn.messages();
    const pending = second.next();
    await first.return!();
    await first.return!();
    await raw.send(1, "x");
    assertEquals([(await pending).value, conn.state], ["x", "open"]);
  },
);

testRaw(
  "fault 17: cancelling a settled request doesn't take a message of another consumer",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    const abort = new AbortController();
    const first = conn.receive({ signal: abort.signal });
    await raw.send(1, "one");
    // Settled, and aborted before its promise is awaited.
    await until(() => conn.stats().messagesReceived === 1);
    abort.abort();
    assertEquals(await first, "one");
    const second = conn.receive();
    abort.abort();
    await raw.send(1, "two");
    assertEquals(await second, "two");
  },
);

testRaw(
  "fault 17: an aborted receive leaves no pending request for the next consumer",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    for (let i = 0; i < 100; i++) {
      const abort = new AbortController();
      const aborted = assertRejects(
        () => conn.receive({ signal: abort.signal }),
        DOMException,
        "aborted",
      );
      abort.abort(new Error(`reason ${i}`));
      assertEquals(`${(await aborted).cause}`, `Error: reason ${i}`);
    }
    const next = conn.receive();
    await raw.send(1, "x");
    assertEquals(await next, "x");
  },
);

testRaw(
  "messages({ signal }): an abort rejects with AbortError, leaves the connection open and its messages to other consumers",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    const abort = new AbortController();
    const reason = new Error("enough");
    const got: unknown[] = [];
    const loop = (async () => {
      for await (const message of conn.messages({ signal: abort.signal })) got.push(message);
    })();
    await raw.send(1, "a");
    await until(() => got.length === 1);
    abort.abort(reason);
    const error = await assertRejects(() => loop, DOMException);
    assertEquals([error.name, error.cause, conn.state], ["AbortError", reason, "open"]);
    await raw.send(1, "b");
    assertEquals(await conn.receive(), "b");
  },
);

testRaw(
  "messages({ signal }): the signal may be aborted between two calls, or before the first",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    for (const early of [true, false]) {
      const abort = new AbortController();
      if (early) abort.abort();
      const messages = conn.messages({ signal: abort.signal });
      abort.abort();
      // The messages are free at once, not only when the abort was noticed.
      const other = conn.receive();
      await assertRejects(() => messages.next(), DOMException);
      assertEquals(await messages.next(), { value: undefined, done: true });
      assertEquals(await messages.return!(), { value: undefined, done: true });
      await raw.send(1, "x");
      assertEquals([await other, conn.state], ["x", "open"]);
    }
  },
);

testRaw(
  "messages({ signal }): calls in advance get the abort once, then the end",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn } = peer;
    const abort = new AbortController();
    const messages = conn.messages({ signal: abort.signal });
    const ahead = [messages.next(), messages.next(), messages.next()];
    abort.abort();
    await assertRejects(() => ahead[0], DOMException);
    assertEquals((await Promise.all(ahead.slice(1))).map(({ done }) => done), [true, true]);
  },
);

testRaw("a signal has no listeners of an iteration that is over", async (rawPeer) => {
  const { signal } = new AbortController();
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listeners++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    listeners--;
    removeEventListener.apply(signal, args);
  };
  await using peer = await rawPeer();
  const { conn, raw } = peer;
  await raw.write(repeat(raw.encode(1, "x"), 10));
  for (let i = 0; i < 5; i++) await conn.receive({ signal });
  const messages = conn.messages({ signal, preventClose: true });
  await messages.next();
  assertEquals(listeners, 1);
  await messages.return!();
  assertEquals(listeners, 0);
});

testPair("fault 58: receive() rejects in the wrong state and never throws", async (pair) => {
  await using both = await pair({ onMessage() {} }, { payload: "view" });
  await assertRejects(() => both.server.receive(), TypeError, "onMessage");
  await assertRejects(() => both.client.receive(), TypeError, "view");
  await using plain = await pair();
  const { server } = plain;
  const first = server.receive();
  await assertRejects(() => server.receive(), TypeError, "already");
  plain.client.close();
  await assertRejects(() => first, ConnectionClosedError);
  await server.closed;
  await assertRejects(() => server.receive(), ConnectionClosedError);
});

testRaw(
  "the error for an abnormal end has the close record, its text and the cause",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    const messages = conn.messages();
    const next = messages.next();
    // A text frame without a mask.
    await raw.write(new Uint8Array([0x81, 0x01, 0x61]));
    raw.close();
    const error = await assertRejects(() => next, ConnectionClosedError);
    const close = await conn.closed;
    assert(error.close === close && error.cause === close.cause);
    assertStringIncludes(error.message, `${close}`);
    assertStringIncludes(error.message, "unmasked");
  },
  RAW_LISTENERS,
);

testPair("every way of consuming messages excludes every other", async (pair) => {
  const ways: Record<string, (conn: Connection) => unknown> = {
    messages: (conn) => conn.messages(),
    messageStreams: (conn) => conn.messageStreams(),
    readable: (conn) => conn.readable,
    receive: (conn) => mayFail(conn.receive(), "nothing comes"),
    onMessage: (conn) => conn.on({ onMessage() {} }),
  };
  for (const [first, claim] of Object.entries(ways)) {
    for (const [second, other] of Object.entries(ways)) {
      // The property always returns the same stream, and callbacks may be replaced.
      if (second === first && (first === "readable" || first === "onMessage")) continue;
      await using both = await pair();
      claim(both.server);
      if (second === "receive") await assertRejects(() => both.server.receive(), TypeError);
      else assertThrows(() => other(both.server), TypeError);
    }
  }
});

// ---- Why isn't it reading? ----------------------------------------------------------------------------------------

testRaw(
  "debug prints what holds messages, why nothing is read, and when reading continues",
  async (rawPeer) => {
    const lines: string[] = [];
    await using peer = await rawPeer({
      readAhead: 640,
      onMessage() {},
      debug: (line) => lines.push(line.replace(/^\[.*?\] /, "")),
    });
    const { conn, raw } = peer;
    conn.pause();
    assert(lines.includes("held: pause() was called"), lines.join("\n"));
    const writing = raw.write(repeat(raw.encode(2), 100));
    const full = "reading stops: readAhead (640 bytes) is full: pause() was called";
    await until(() => lines.includes(full));
    await turn();
    assertEquals(lines.filter((line) => line === full).length, 1, "said once");
    conn.resume();
    await until(() => conn.stats().messagesReceived === 100);
    await writing;
    assert(lines.indexOf("not held") > lines.indexOf(full));
    assert(lines.indexOf("reading continues") > lines.indexOf(full));
  },
);

for (
  const [what, options, act, expected] of [
    ["a promise of onMessage", { onMessage: () => new Promise(() => {}) }, () => {}, [
      "the promise of onMessage is unsettled",
      "readAhead (640 bytes) is full",
    ]],
    ["no consumer", {}, () => {}, ["no message is asked for", "readAhead (640 bytes) is full"]],
    ["a consumer that takes little by little", {}, async (conn: Connection) => {
      await turn();
      await conn.receive();
    }, ["readAhead (640 bytes) was full, and half of it isn't free"]],
    ["a promise of onFrameStart", { onFrameStart: () => new Promise(() => {}) }, () => {}, [
      "reading stops: the promise of a frame callback is unsettled",
    ]],
    ["a rate limit", { onMessage() {}, rateLimit: { messages: 1 } }, () => {}, [
      "the rate limit is used up",
    ]],
    ["the peer's close", { onMessage() {} }, (_: Connection, raw: RawPeer) => raw.sendClose(), [
      "both close frames are exchanged",
    ]],
  ] as const
) {
  testRaw(`debug names ${what} as the reason why nothing is read`, async (rawPeer) => {
    const lines: string[] = [];
    await using peer = await rawPeer({
      readAhead: 640,
      debug: (line) => lines.push(line),
      closeTimeout: 1,
      ...options,
    });
    const { conn, raw } = peer;
    raw.write(repeat(raw.encode(2), 100));
    await until(() => conn.stats().messagesReceived > 0 || what.includes("onFrameStart"));
    await act(conn, raw);
    await until(() => expected.every((text) => lines.some((line) => line.includes(text))));
  }, RAW_LISTENERS);
}

Deno.test("a connecting connection without a consumer can be printed", async () => {
  await using ctx = new Context();
  const conn = ctx.connect("ws://127.0.0.1:1/", { onError() {} });
  assertStringIncludes(Deno.inspect(conn), "connecting");
  await conn.closed;
  assertStringIncludes(Deno.inspect(conn), "closed");
});

// ---- Frames -------------------------------------------------------------------------------------------------------

for (const assemble of [true, false]) {
  Deno.test(`a promise of onFrameChunk stops reading at once, ${assemble ? "with" : "without"} assembly`, async () => {
    const gates: (() => void)[] = [];
    let chunks = 0;
    await using peer = await rawPeer({
      assemble,
      maxMessageSize: 0,
      onFrameChunk: () => {
        chunks++;
        return new Promise<void>((resolve) => gates.push(resolve));
      },
      ...(assemble ? { onMessage() {} } : {}),
    });
    const { conn, raw } = peer;
    const writing = raw.write(raw.encode(2, new Uint8Array(4096 * KIB)));
    await until(() => chunks === 1);
    for (let i = 0; i < 10; i++) await turn();
    assertEquals(chunks, 1);
    assert(conn.stats().bytesReceived <= 64 * KIB + 14);
    // One chunk at a time, until the end.
    while (conn.stats().messagesReceived === 0) {
      await until(() => gates.length > 0 || conn.stats().messagesReceived > 0);
      gates.shift()?.();
      await turn();
      assert(gates.length <= 1);
    }
    for (const open of gates.splice(0)) open();
    await writing;
  });
}

for (const where of ["onFrameStart", "onFrameChunk"] as const) {
  for (const payload of ["", "payload"]) {
    if (where === "onFrameChunk" && payload === "") continue;
    Deno.test(`pause() in ${where} of ${payload.length} bytes holds onFrameEnd, too`, async () => {
      const told: string[] = [];
      const note = (name: string) => (conn: Connection) => {
        told.push(name);
        if (name === where && told.length < 3) conn.pause();
      };
      await using peer = await rawPeer({
        onFrameStart: note("onFrameStart"),
        onFrameChunk: note("onFrameChunk"),
        onFrameEnd: note("onFrameEnd"),
        onMessage: note("onMessage"),
      });
      const { conn, raw } = peer;
      await raw.send(1, payload);
      await until(() => conn.isPaused);
      for (let i = 0; i < 5; i++) await turn();
      const before = where === "onFrameStart" ? [where] : ["onFrameStart", where];
      assertEquals(told, before);
      conn.resume();
      await until(() => told.includes("onMessage"));
      const chunk = payload === "" ? [] : ["onFrameChunk"];
      assertEquals(told, ["onFrameStart", ...chunk, "onFrameEnd", "onMessage"]);
    });
  }
}

Deno.test("a promise of onFrameChunk that settles during a pause, or after the end, doesn't end the frame", async () => {
  for (const end of ["resume", "terminate"] as const) {
    const gate = Promise.withResolvers<void>();
    const told: string[] = [];
    await using peer = await rawPeer({
      assemble: false,
      onFrameChunk: () => {
        told.push("onFrameChunk");
        return gate.promise;
      },
      onFrameEnd: () => void told.push("onFrameEnd"),
      onClose: () => void told.push("onClose"),
    });
    const { conn, raw } = peer;
    await raw.send(2, "payload");
    await until(() => told.length > 0);
    conn.pause();
    gate.resolve();
    for (let i = 0; i < 5; i++) await turn();
    assertEquals(told, ["onFrameChunk"]);
    conn[end]();
    await until(() => told.length > 1);
    for (let i = 0; i < 5; i++) await turn();
    assertEquals(told, ["onFrameChunk", end === "resume" ? "onFrameEnd" : "onClose"]);
  }
});

Deno.test("rateLimit counts messages that aren't assembled", async () => {
  let got = 0;
  const start = performance.now();
  await using peer = await rawPeer({
    assemble: false,
    rateLimit: { messages: 10 },
    onFrameEnd: () => got++,
  });
  await peer.raw.write(repeat(peer.raw.encode(2, "x"), 40));
  await until(() => got >= 12);
  // Ten messages may come at once, and further ones at intervals of a tenth of a second.
  assert(performance.now() - start >= 90);
  peer.conn.terminate();
});
