import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { type Connection, ConnectionClosedError, type ListenOptions } from "../../mod.ts";
import type { IncomingMessageStream } from "../../mod.ts";
import { join, repeat, sameBytes } from "../support/bytes.ts";
import { upTo } from "../support/messages.ts";
import { pair, RAW_LISTENERS, rawPeer, testRaw } from "../support/pair.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { standstill, until } from "../support/until.ts";

const KIB = 1024;

async function text({ stream }: IncomingMessageStream): Promise<string> {
  return await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).text();
}

async function bytes({ stream }: IncomingMessageStream): Promise<Uint8Array> {
  return await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).bytes();
}

/** Returns the next message of an iteration, which must not have ended. */
async function next<T>(messages: AsyncIterator<T, undefined>): Promise<T> {
  const result = await messages.next();
  if (result.done) throw new Error("The iteration has ended");
  return result.value;
}

/** Waits until something was read, and nothing is read any more. */
async function stopped(conn: Connection): Promise<void> {
  await until(() => conn.stats().bytesReceived > 0);
  await standstill(() => conn.stats().bytesReceived);
}

// ---- Waiting messages are bounded, however small -------------------------------------------------------------------

const SMALL: Record<string, (raw: RawPeer) => Uint8Array> = {
  "empty messages": (raw) => raw.encode(2),
  "empty messages in two fragments": (raw) => join([raw.encode(2, "", false), raw.encode(0)]),
  "messages of one byte": (raw) => raw.encode(1, "x"),
  "messages of one byte in two fragments": (raw) =>
    join([raw.encode(1, "x", false), raw.encode(0)]),
};

/** How a consumer of each kind is kept busy, and how it consumes waiting messages. */
interface Face {
  options?: ListenOptions;
  busy(conn: Connection): Promise<{ take(count: number): Promise<void> }>;
  most: number;
}

const FACES: Record<string, Face> = {
  "messageStreams()": {
    async busy(conn) {
      const messages = conn.messageStreams();
      const first = await next(messages);
      return {
        async take(count) {
          await bytes(first);
          for (let i = 1; i < count; i++) await bytes(await next(messages));
        },
      };
    },
    // Each counts 1 KiB in addition to its bytes.
    most: 64 + 2,
  },
  "messages()": {
    async busy(conn) {
      const messages = conn.messages();
      await next(messages);
      return {
        async take(count) {
          for (let i = 1; i < count; i++) await next(messages);
        },
      };
    },
    most: 1024 + 2,
  },
  "receive()": {
    async busy(conn) {
      await conn.receive();
      return {
        async take(count) {
          for (let i = 1; i < count; i++) await conn.receive();
        },
      };
    },
    most: 1024 + 2,
  },
  "readable": {
    async busy(conn) {
      const reader = conn.readable.getReader();
      await reader.read();
      return {
        async take(count) {
          for (let i = 1; i < count; i++) await reader.read();
        },
      };
    },
    most: 1024 + 2,
  },
};

for (const [face, { options, busy, most }] of Object.entries(FACES)) {
  for (const [what, encode] of Object.entries(SMALL)) {
    Deno.test(`fault 2: ${face} of ${what}: a busy consumer stops reading, and gets all messages`, async () => {
      await using peer = await rawPeer(options);
      const { conn, raw } = peer;
      const COUNT = 10_000;
      const writing = raw.write(repeat(encode(raw), COUNT));
      const { take } = await busy(conn);
      await stopped(conn);
      const { messagesReceived } = conn.stats();
      assert(messagesReceived <= most, `${messagesReceived} were kept`);
      await take(COUNT);
      await writing;
      assertEquals(conn.stats().messagesReceived, COUNT);
    });
  }
}

testRaw("fault 2: the stream of a message is made when it is requested", async (rawPeer) => {
  const { ReadableStream: original } = globalThis;
  let made = 0;
  globalThis.ReadableStream = new Proxy(original, {
    construct(target, args) {
      made++;
      return Reflect.construct(target, args);
    },
  });
  try {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    const messages = conn.messageStreams();
    await raw.write(repeat(raw.encode(1, "x"), 50));
    await until(() => conn.stats().messagesReceived === 50);
    assertEquals(made, 0);
    const first = await next(messages);
    assertEquals([await text(first), made > 0], ["x", true]);
  } finally {
    globalThis.ReadableStream = original;
  }
}, RAW_LISTENERS);

testRaw(
  "fault 2: messages that waited before messageStreams() was called are bounded and delivered, too",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    const COUNT = 5000;
    const writing = raw.write(join(upTo(COUNT).map((i) => raw.encode(1, `${i}`))));
    await stopped(conn);
    const messages = conn.messageStreams();
    for (const i of upTo(COUNT)) assertEquals(await text(await next(messages)), `${i}`);
    await writing;
  },
  RAW_LISTENERS,
);

// ---- A pending request gets the message ------------------------------------------------------------------------------

for (const type of ["text", "binary"] as const) {
  for (const size of [20, 5000, 60_000, 64 * KIB, 200 * KIB]) {
    Deno.test(`fault 11b: messageStreams() streams a ${type} message of which ${size} bytes had arrived`, async () => {
      await using peer = await rawPeer({ maxMessageSize: 0 });
      const { conn, raw } = peer;
      const opcode = type === "text" ? 1 : 2;
      // Characters of two bytes, so that the cut may be within one.
      const message = new TextEncoder().encode("ä".repeat(200 * KIB));
      const whole = raw.encode(opcode, message);
      await raw.write(raw.encode(1, "before"));
      const writing = raw.write(whole.subarray(0, size));
      await stopped(conn);
      const messages = conn.messageStreams();
      assertEquals(await text(await next(messages)), "before");
      const body = await next(messages);
      assertEquals(body.type, type);
      const reader = body.stream.getReader();
      const got = [(await reader.read()).value!];
      assert(got[0].length > 0 && got[0].length <= 64 * KIB + 16);
      await writing;
      const rest = raw.write(whole.subarray(size));
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        got.push(part.value);
      }
      await rest;
      assert(sameBytes(join(got), message));
      await raw.send(1, "after");
      assertEquals(await text(await next(messages)), "after");
    });
  }
}

testRaw(
  "fault 11b: messageStreams() works while a read into the unfinished message is pending",
  async (rawPeer) => {
    await using peer = await rawPeer({ maxMessageSize: 0 });
    const { conn, raw } = peer;
    const message = new Uint8Array(1024 * KIB).map((_, i) => i % 251);
    const whole = raw.encode(2, message);
    const abort = new AbortController();
    // While a request is pending, the rest of the message is read into its buffer.
    const aborted = assertRejects(() => conn.receive({ signal: abort.signal }), DOMException);
    const half = 200 * KIB;
    await raw.write(whole.subarray(0, half));
    await until(() => conn.stats().bytesReceived === half);
    abort.abort();
    await aborted;
    const messages = conn.messageStreams();
    const body = await next(messages);
    const writing = raw.write(whole.subarray(half));
    assert(sameBytes(await bytes(body), message));
    await writing;
  },
  RAW_LISTENERS,
);

Deno.test("fault 12: messageStreams() without assembly throws, and with readAhead 0 reads", async () => {
  {
    await using both = await pair({ assemble: false });
    assertThrows(() => both.server.messageStreams(), TypeError, "assemble: false");
  }
  await using peer = await rawPeer({ readAhead: 0, maxMessageSize: 0 });
  const { conn, raw } = peer;
  const messages = conn.messageStreams();
  const large = new Uint8Array(2048 * KIB).fill(7);
  const writing = raw.write(
    join([raw.encode(1, "a"), raw.encode(2, large), raw.encode(2), raw.encode(1, "b")]),
  );
  assertEquals(await text(await next(messages)), "a");
  assert(sameBytes(await bytes(await next(messages)), large));
  assertEquals((await bytes(await next(messages))).length, 0);
  assertEquals(await text(await next(messages)), "b");
  await writing;
});

testRaw(
  "fault 13: after our own close() no stream is delivered, and no bytes are kept",
  async (rawPeer) => {
    await using peer = await rawPeer({ maxMessageSize: 0 });
    const { conn, raw } = peer;
    conn.close();
    const messages = conn.messageStreams();
    const first = messages.next();
    await raw.write(join([
      ...upTo(64).map(() => raw.encode(2, new Uint8Array(64 * KIB))),
      raw.encode(2, new Uint8Array(300 * KIB), false),
      raw.encode(0, "end"),
      raw.encode(8),
    ]));
    assertEquals(await first, { value: undefined, done: true });
    assertEquals((await conn.closed).undelivered, 65);
  },
  RAW_LISTENERS,
);

testRaw(
  "our own close() fails a stream that is being read, and drops waiting ones",
  async (rawPeer) => {
    await using peer = await rawPeer({ maxMessageSize: 0 });
    const { conn, raw } = peer;
    const messages = conn.messageStreams();
    await raw.write(
      join([raw.encode(1, "a"), raw.encode(1, "b"), raw.encode(2, new Uint8Array(1000), false)]),
    );
    await until(() => conn.stats().messagesReceived === 2);
    const first = await next(messages), second = await next(messages), third = await next(messages);
    const reader = third.stream.getReader();
    for (let length = 0; length < 1000; length += (await reader.read()).value!.length);
    const pending = reader.read();
    conn.close();
    await assertRejects(() => pending, ConnectionClosedError, "read the rest of a message");
    // Streams that were delivered completely belong to their consumers.
    assertEquals([await text(first), await text(second)], ["a", "b"]);
    await raw.sendClose(1000);
    assertEquals((await conn.closed).undelivered, 0);
  },
  RAW_LISTENERS,
);

// ---- Flow ---------------------------------------------------------------------------------------------------------

testRaw(
  "a stream that isn't read stops the peer at readAhead, also with more messages before it",
  async (rawPeer) => {
    for (const before of [0, 3, 50]) {
      await using peer = await rawPeer({ maxMessageSize: 0 });
      const { conn, raw } = peer;
      const messages = conn.messageStreams();
      const large = new Uint8Array(8 * 1024 * KIB);
      const writing = raw.write(
        join([...upTo(before).map((i) => raw.encode(1, `${i}`)), raw.encode(2, large)]),
      );
      for (const i of upTo(before)) assertEquals(await text(await next(messages)), `${i}`);
      const body = await next(messages);
      const after = messages.next();
      await stopped(conn);
      const { bytesReceived } = conn.stats();
      assert(bytesReceived <= 160 * KIB, `${bytesReceived}`);
      assertEquals((await bytes(body)).length, large.length);
      await writing;
      await raw.send(1, "after");
      assertEquals(await text((await after).value!), "after");
    }
  },
  RAW_LISTENERS,
);

testRaw("cancelling discards only the rest of its message, at any point", async (rawPeer) => {
  await using peer = await rawPeer({ maxMessageSize: 0 });
  const { conn, raw } = peer;
  const messages = conn.messageStreams();
  const large = new Uint8Array(2048 * KIB);
  const writing = raw.write(join([
    raw.encode(2, large), // cancelled half-way
    raw.encode(1, "one"),
    raw.encode(2, large), // cancelled at once
    raw.encode(1, "two"), // cancelled when it is complete
    raw.encode(1, "three"),
  ]));
  const first = await next(messages);
  const reader = first.stream.getReader();
  await reader.read();
  await reader.cancel();
  assertEquals(await text(await next(messages)), "one");
  await (await next(messages)).stream.cancel();
  await (await next(messages)).stream.cancel();
  assertEquals(await text(await next(messages)), "three");
  await writing;
  assertEquals([conn.state, conn.stats().messagesReceived], ["open", 5]);
}, RAW_LISTENERS);

testRaw("a pause holds the chunks of a stream, too, and resume delivers them", async (rawPeer) => {
  await using peer = await rawPeer({ maxMessageSize: 0 });
  const { conn, raw } = peer;
  const messages = conn.messageStreams();
  const large = new Uint8Array(1024 * KIB).fill(3);
  const writing = raw.write(join([raw.encode(2, large), raw.encode(1, "after")]));
  const body = await next(messages);
  const reader = body.stream.getReader();
  const got = [(await reader.read()).value!];
  conn.pause();
  const pending = reader.read();
  let settled = false;
  pending.then(() => settled = true);
  await stopped(conn);
  assert(!settled, "a chunk was delivered during the pause");
  assert(conn.stats().bytesReceived <= 256 * KIB);
  conn.resume();
  got.push((await pending).value!);
  for (let part = await reader.read(); !part.done; part = await reader.read()) got.push(part.value);
  assert(sameBytes(join(got), large));
  assertEquals(await text(await next(messages)), "after");
  await writing;
}, RAW_LISTENERS);

testRaw(
  "the received part of a message that is cut off is delivered before its stream fails",
  async (rawPeer) => {
    await using peer = await rawPeer({ maxMessageSize: 0 });
    const { conn, raw } = peer;
    const messages = conn.messageStreams();
    await raw.write(
      join([raw.encode(2, "one", false), raw.encode(0, "two", false), raw.encode(8, "")]),
    );
    const body = await next(messages);
    await conn.closed;
    const reader = body.stream.getReader();
    const decode = async () => new TextDecoder().decode((await reader.read()).value);
    assertEquals([await decode(), await decode()], ["one", "two"]);
    const error = await assertRejects(() => reader.read(), ConnectionClosedError);
    assert(error.close === await conn.closed);
    assertEquals((await messages.next()).done, true);
  },
  RAW_LISTENERS,
);

testRaw(
  "messages that wait when the connection ends are delivered as streams, and counted",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    const messages = conn.messageStreams();
    await raw.write(join([raw.encode(1, "a"), raw.encode(1, "b"), raw.encode(8, "")]));
    const close = await conn.closed;
    assertEquals(close.undelivered, 2);
    assertEquals([await text(await next(messages)), close.undelivered], ["a", 1]);
    assertEquals([await text(await next(messages)), close.undelivered], ["b", 0]);
    assertEquals(await messages.next(), { value: undefined, done: true });
  },
  RAW_LISTENERS,
);

testRaw("an abnormal end is thrown once, with the close record in the error", async (rawPeer) => {
  await using peer = await rawPeer();
  const { conn, raw } = peer;
  const messages = conn.messageStreams();
  const ahead = [messages.next(), messages.next()];
  await raw.sendClose(1011, "no luck");
  const error = await assertRejects(() => ahead[0], ConnectionClosedError);
  assertStringIncludes(error.message, `${await conn.closed}`);
  assertStringIncludes(error.message, "no luck");
  assertEquals((await ahead[1]).done, true);
  assertEquals((await messages.next()).done, true);
}, RAW_LISTENERS);

testRaw("the buffer of a chunk belongs to its reader, which may transfer it", async (rawPeer) => {
  await using peer = await rawPeer({ maxMessageSize: 0 });
  const { conn, raw } = peer;
  const messages = conn.messageStreams();
  await raw.write(join(
    upTo(20).flatMap((i) => [
      raw.encode(2, `whole ${i}`),
      raw.encode(2, `pieces `, false),
      raw.encode(0, `${i}`),
    ]),
  ));
  await until(() => conn.stats().messagesReceived === 40);
  for (const i of upTo(20)) {
    for (const expected of [`whole ${i}`, `pieces ${i}`]) {
      let got = "";
      for await (const chunk of (await next(messages)).stream) {
        got += new TextDecoder().decode(chunk);
        structuredClone(chunk, { transfer: [chunk.buffer as ArrayBuffer] });
      }
      assertEquals(got, expected);
    }
  }
}, RAW_LISTENERS);

testRaw("rateLimit and counters include messages that are streamed", async (rawPeer) => {
  const got: number[] = [];
  await using peer = await rawPeer({ rateLimit: { messages: 10 } });
  const { conn, raw } = peer;
  const messages = conn.messageStreams();
  const piece = join([raw.encode(2, "x", false), raw.encode(0, "y")]);
  await raw.write(repeat(piece, 40));
  const start = performance.now();
  while (got.length < 12) {
    await bytes(await next(messages));
    got.push(performance.now() - start);
  }
  // Ten messages may come at once, and further ones at intervals of a tenth of a second.
  assert(got[11] >= 90, `${got}`);
  conn.terminate();
}, RAW_LISTENERS);

// ---- Leaving ------------------------------------------------------------------------------------------------------

testRaw(
  "ending the iteration while a message arrives fails its stream, and later bytes aren't kept",
  async (rawPeer) => {
    await using peer = await rawPeer({ maxMessageSize: 0 });
    const { conn, raw } = peer;
    const messages = conn.messageStreams();
    await raw.send(2, "begun", false);
    const { stream } = await next(messages);
    const reader = stream.getReader();
    assertEquals((await reader.read()).value!.length, 5);
    const rest = assertRejects(() => reader.read(), ConnectionClosedError);
    await messages.return!();
    assertEquals(conn.state, "closing");
    await rest;
    // A peer that ignores our close frame.
    const { external } = Deno.memoryUsage();
    await raw.send(0, "the end");
    const message = raw.encode(2, new Uint8Array(60_000)), count = 2000;
    for (let i = 0; i < count; i++) await raw.write(message);
    await until(() => conn.stats().messagesReceived === count + 1);
    const grown = Deno.memoryUsage().external - external;
    assert(grown < 60_000 * count / 2, `${grown} bytes are kept`);
    await raw.sendClose(1000);
    assertEquals((await conn.closed).undelivered, count);
  },
  RAW_LISTENERS,
);

testRaw(
  "when messageStreams() of an ended connection returns, other consumers get the waiting messages",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    const messages = conn.messageStreams();
    await raw.send(1, "first");
    await next(messages);
    await raw.send(1, "s", false);
    await raw.send(0, "econd, with an ö");
    await raw.send(2, "third");
    await raw.send(1, "never end", false);
    await raw.sendClose(1000);
    const record = await conn.closed;
    assertEquals(record.undelivered, 3);
    await messages.return!();
    assertEquals(await conn.receive(), "second, with an ö");
    const others = conn.messageStreams();
    assertEquals(await text(await next(others)), "third");
    assertEquals(await others.next(), { value: undefined, done: true });
    assertEquals(record.undelivered, 1);
  },
  RAW_LISTENERS,
);
