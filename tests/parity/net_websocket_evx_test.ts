/** Net::WebSocket::EVx (wslay): a test for each row of the parity list, with its number and name. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Connection, Context, type FrameHeader, type MessageHeader } from "../../mod.ts";
import { FrameDecoder } from "../../src/protocol/frame_decoder.ts";
import { text } from "../support/bytes.ts";
import { CLOSE, frame, frameOf, readClose, TEXT } from "../support/frames.ts";
import { busy, Events, pair, rawClient } from "./_support.ts";

const MiB = 1024 * 1024;

// Rows that are tested elsewhere: X1 (an open stream is taken over without a handshake) and X17 (compressed echo behind nginx),
// with adopt, Unix sockets and compression.

Deno.test("X2 buffering => 0: messages aren't assembled, and frames are reported", async () => {
  const ends = new Events<number>();
  let bytes = 0;
  await using both = await pair({
    assemble: false,
    onMessage: () => ends.push(-1),
    onFrameChunk: (_conn, chunk) => void (bytes += chunk.length),
    onFrameEnd: () => ends.push(bytes),
  });
  both.client.send(new Uint8Array(300_000));
  both.client.send("two");
  assertEquals(await ends.take(2), [300_000, 300_003]);
  both.server.on({ onMessage: undefined });
  assertThrows(() => both.server.messages(), TypeError, "with assemble: false");
});

Deno.test("X3 max_recv_size: the limit applies to messages and to frames that aren't assembled", async () => {
  for (const buffering of [true, false]) {
    const errors = new Events<string>();
    await using both = await pair({
      assemble: buffering,
      maxMessageSize: 100,
      onMessage: () => {},
      onError: (_conn, error) => errors.push((error as Error).message),
    });
    both.client.sendFragment(new Uint8Array(60));
    both.client.sendFragment(new Uint8Array(41), { final: true });
    assertEquals((await both.client.closed).code, 1009);
    assert((await errors.next()).includes("the limit is 100"));
  }
});

Deno.test("X4 on_msg_recv($rsv, $opcode, …): the callback gets the first frame's header with the message", async () => {
  const got = new Events<[unknown, MessageHeader | undefined]>();
  const allowRsv = { rsv1: true, rsv3: true };
  await using both = await pair(
    { allowRsv, onMessage: (_conn, data, header) => got.push([data, header]) },
    { allowRsv },
  );
  const { client, server } = both;
  client.sendFrame({ opcode: 1, payload: "one", rsv1: true, fin: false });
  client.sendFrame({ opcode: 0, payload: " message" });
  client.send(new Uint8Array([7]));
  const plain = { rsv1: false, rsv2: false, rsv3: false };
  assertEquals(await got.take(2), [
    ["one message", { opcode: 1, ...plain, rsv1: true }],
    [new Uint8Array([7]), { opcode: 2, ...plain }],
  ]);
  // Messages that wait keep their header.
  server.pause();
  client.sendFrame({ opcode: 2, payload: new Uint8Array([1]), rsv3: true });
  client.send("held");
  await client.ping();
  server.resume();
  assertEquals(await got.take(2), [
    [new Uint8Array([1]), { opcode: 2, ...plain, rsv3: true }],
    ["held", { opcode: 1, ...plain }],
  ]);
  // Text that an extension has transformed needn't be UTF-8; only the opcode says that it is text.
  client.sendFrame({ opcode: 1, payload: new Uint8Array([0xff]), rsv1: true });
  assertEquals(await got.next(), [new Uint8Array([0xff]), { opcode: 1, ...plain, rsv1: true }]);
});

Deno.test("X4 reserved bits without allowRsv fail the connection", async () => {
  const ctx = new Context();
  await using listener = ctx.listen({
    hostname: "127.0.0.1",
    allowRsv: { rsv1: true },
    onMessage: () => {},
    onError: () => {},
  });
  using peer = await rawClient(listener.port);
  await peer.send(frame(TEXT, "rsv2", { rsv: 0b010 }));
  assertEquals(await peer.closeCode(), 1002);
});

Deno.test("X5 on_close($code): the callback gets the close record", async () => {
  const closes = new Events<number>();
  await using both = await pair({ onClose: (_conn, { code }) => closes.push(code) });
  both.client.close(4321, "why");
  assertEquals(await closes.next(), 4321);
});

Deno.test("X6 genmask: maskGenerator fills each key", async () => {
  let keys = 0;
  await using both = await pair(
    { onMessage: (conn, data) => conn.send(data) },
    { maskGenerator: (key) => key.fill(++keys) },
  );
  both.client.send("masked");
  assertEquals(await both.client.receive(), "masked");
  assertEquals(keys, 1);
});

Deno.test("X7 on_frame_recv_start, _chunk, _end: each frame is reported as it arrives", async () => {
  const events = new Events<string>();
  const show = (header: FrameHeader) =>
    `start ${header.opcode} ${header.fin} ${header.rsv2} ${header.length}`;
  await using both = await pair({
    onMessage: (_conn, data) => events.push(`message ${data}`),
    onFrameStart: (_conn, header) => events.push(show(header)),
    onFrameChunk: (_conn, bytes) => events.push(`chunk ${new TextDecoder().decode(bytes)}`),
    onFrameEnd: () => events.push("end"),
    allowRsv: { rsv2: true },
  }, { allowRsv: { rsv2: true } });
  both.client.sendFrame({ opcode: 1, payload: "ab", fin: false, rsv2: true });
  both.client.ping();
  both.client.sendFragment("");
  both.client.sendFragment("c", { final: true });
  assertEquals(await events.take(9), [
    ...["start 1 false true 2", "chunk ab", "end"],
    ...["start 0 false false 0", "end"],
    ...["start 0 true false 1", "chunk c", "end", "message abc"],
  ]);
});

Deno.test("X7 a promise of a frame callback stops reading, and so the peer", async () => {
  const release = Promise.withResolvers<void>();
  const events = new Events<string>();
  let held = false, calls = 0;
  await using both = await pair({
    assemble: false,
    maxMessageSize: 0,
    async onFrameChunk(_conn, bytes) {
      calls++;
      if (held) return;
      held = true;
      const copy = bytes.slice();
      events.push("held");
      await release.promise;
      // The view is valid until here.
      events.push(`same ${copy.every((byte, i) => byte === bytes[i])}`);
    },
    onFrameEnd: (conn) => events.push(`end ${conn.stats().bytesReceived > 32 * MiB}`),
  }, { maxQueueBytes: 0 });
  const { client } = both;
  client.send(new Uint8Array(32 * MiB).fill(5), { transfer: true });
  assertEquals(await events.next(), "held");
  const { bytesReceived } = both.server.stats();
  // In the meantime another connection uses the free buffers, and takes enough turns for this one to read if it could.
  await busy();
  assertEquals([both.server.stats().bytesReceived, calls], [bytesReceived, 1]);
  assert(client.queuedBytes > 0);
  release.resolve();
  assertEquals(await events.take(2), ["same true", "end true"]);
  assertEquals(client.queuedBytes, 0);
});

Deno.test("X7 pause() in a frame callback stops at once, and the rest comes after resume()", async () => {
  const events = new Events<string>();
  await using both = await pair({
    assemble: false,
    onFrameStart(conn, { length }) {
      events.push(`start ${length}`);
      conn.pause();
      queueMicrotask(() => {
        events.push("resume");
        conn.resume();
      });
    },
    onFrameChunk: (_conn, bytes) => events.push(`chunk ${bytes.length}`),
    onFrameEnd: () => events.push("end"),
  });
  both.client.send("12");
  both.client.send("");
  assertEquals(
    await events.take(7),
    ["start 2", "resume", "chunk 2", "end", "start 0", "resume", "end"],
  );
});

Deno.test("X7 UTF-8 is validated although messages aren't assembled", async () => {
  for (const parts of [[[0x61, 0xff]], [[0xc3], [0x28]], [[0xe2, 0x82]]]) {
    const ctx = new Context();
    await using listener = ctx.listen({
      hostname: "127.0.0.1",
      assemble: false,
      onError: () => {},
    });
    using peer = await rawClient(listener.port);
    for (const [i, part] of parts.entries()) {
      const first = (i === parts.length - 1 ? 0x80 : 0) | (i === 0 ? 1 : 0);
      await peer.send(frameOf(first, new Uint8Array(part)));
    }
    assertEquals(await peer.closeCode(), 1007);
  }
});

Deno.test("X8 queue_msg: send, sendText, sendBinary, ping and pong correspond to it", async () => {
  const got = new Events<string>();
  await using both = await pair({
    onMessage: (_conn, data) => got.push(typeof data === "string" ? data : `bytes ${data}`),
    onPong: (_conn, payload) => got.push(`pong ${payload}`),
  });
  both.client.send("a");
  both.client.sendText(new Uint8Array([98]));
  both.client.sendBinary("c");
  assertEquals(await got.take(3), ["a", "b", "bytes 99"]);
  both.client.pong(new Uint8Array([1]));
  assertEquals(await got.next(), "pong 1");
  assert(await both.client.ping() >= 0);
});

Deno.test("X9 queue_msg_ex(msg, opcode, rsv): sendFrame corresponds to it", async () => {
  await using both = await pair({ allowRsv: { rsv1: true } }, { allowRsv: { rsv1: true } });
  const { client } = both;
  assertThrows(() => client.sendFrame({ opcode: 1, rsv2: true }), TypeError, "rsv2");
  assertThrows(() => client.sendFrame({ opcode: 9 }), RangeError, "opcode 9");
  assertThrows(() => client.sendFrame({ opcode: 0 }), Error, "no unfinished message");
  assertThrows(
    () => client.sendFrame({ opcode: 1, payload: new Uint8Array([0xff]) }),
    TypeError,
    "UTF-8",
  );
  client.sendFrame({ opcode: 2, payload: new Uint8Array([1]), fin: false });
  const refused = assertThrows(
    () => client.send("between"),
    Error,
    "in the middle of an unfinished",
  );
  assertEquals((refused as Error).name, "InvalidStateError");
  assertThrows(() => client.sendFrame({ opcode: 1 }), Error, "in the middle of an unfinished");
  client.sendFrame({ opcode: 0, payload: new Uint8Array([2]) });
  assertEquals(await both.server.receive(), new Uint8Array([1, 2]));
  client.close();
  assertThrows(() => client.sendFrame({ opcode: 1 }), Error, "closing");
});

Deno.test("X10 queue_fragmented: the source is read only when there is room", async () => {
  let pulled = 0, sent = 0;
  await using both = await pair({ onMessage: () => {}, maxMessageSize: 0 });
  const { client, server } = both;
  server.pause();
  const piece = new Uint8Array(64 * 1024);
  const begun = Promise.withResolvers<void>();
  function* source() {
    for (; pulled < 1024; pulled++) {
      yield piece;
      sent += piece.length;
      if (pulled === 4) begun.resolve();
    }
  }
  const done = client.sendStream(source());
  await begun.promise;
  // The peer reads no more than its `readAhead`, so the source can't have ended. The queue stays within its high-water mark.
  assert(client.queuedBytes <= 2 * 64 * 1024, `${client.queuedBytes} bytes are queued`);
  assert(pulled < 1024 && sent < 64 * MiB);
  server.resume();
  await done;
  assertEquals(pulled, 1024);
});

Deno.test("X10 messages that are sent during an async source follow it in order", async () => {
  const got = new Events<unknown>();
  await using both = await pair({ onMessage: (_conn, data) => got.push(data) });
  const { client } = both;
  const gate = Promise.withResolvers<void>();
  async function* slow() {
    yield "first";
    await gate.promise;
    yield " stream";
  }
  const first = client.sendStream(slow());
  assertEquals(client.send("between"), true);
  const second = client.sendStream(new Blob(["second ", "stream"]).stream());
  client.send("last");
  // A ping may come between the fragments.
  await client.ping();
  assertEquals(got.all, []);
  gate.resolve();
  await Promise.all([first, second]);
  assertEquals(await got.take(4), [
    "first stream",
    "between",
    new TextEncoder().encode("second stream"),
    "last",
  ]);
  assertEquals(client.stats().messagesSent, 4);
});

Deno.test("X10 a source that throws half-way leads to 1011, and the promise rejects with its error", async () => {
  const errors = new Events<unknown>();
  await using both = await pair({ onMessage: () => {} }, {
    onError: (_conn, error) => errors.push(error),
  });
  const boom = new Error("boom");
  function* source() {
    yield "half";
    throw boom;
  }
  const error = await assertRejects(() => both.client.sendStream(source()));
  assertEquals(error, boom);
  assertEquals(await errors.next(), boom);
  const { received } = await both.server.closed;
  // The text of the error isn't sent.
  assertEquals(received, { code: 1011, reason: "" });
});

Deno.test("X10 a source that throws before its first piece doesn't affect the connection", async () => {
  await using both = await pair();
  const source: Iterable<string> = {
    [Symbol.iterator]: () => ({
      next() {
        throw new Error("early");
      },
    }),
  };
  const failing = () => both.client.sendStream(source);
  await assertRejects(failing, Error, "early");
  await assertRejects(() => both.client.sendStream(42 as never), TypeError, "neither an iterable");
  await assertRejects(
    () => both.client.sendStream("text"),
    TypeError,
    "use send for a single message",
  );
  both.client.send("still open");
  assertEquals(await both.server.receive(), "still open");
});

Deno.test("X10 close() in the middle of a stream rejects its promise and ends its source", async () => {
  await using both = await pair({ onMessage: () => {} });
  const cancelled = Promise.withResolvers<void>();
  const source = new ReadableStream<string>({
    start: (controller) => controller.enqueue("unfinished"),
    cancel: () => cancelled.resolve(),
  });
  const done = both.client.sendStream(source);
  both.client.send("behind");
  await both.client.ping();
  both.client.close();
  await assertRejects(() => done, Error, "finish a stream");
  await cancelled.promise;
  const { sent, wasClean, unsentMessages } = await both.client.closed;
  assertEquals([sent?.code, wasClean, unsentMessages], [1000, true, 1]);
});

Deno.test("X11 queue_fragmented_ex(…, rsv): only the first frame has the reserved bits", async () => {
  const headers = new Events<boolean[]>();
  const allowRsv = { rsv1: true };
  await using both = await pair({
    allowRsv,
    onFrameStart: (_conn, { rsv1, fin }) => headers.push([rsv1, fin]),
  }, { allowRsv });
  async function* source() {
    yield await Promise.resolve("a");
    yield await Promise.resolve("b");
  }
  await both.client.sendStream(source(), { rsv1: true });
  assertEquals(await headers.take(3), [[true, false], [false, false], [false, true]]);
  await assertRejects(() => both.client.sendStream(["a"], { rsv2: true }), TypeError, "rsv2");
});

Deno.test("X12 wait(cb): drained() and onDrain correspond to it", async () => {
  const drains = new Events<number>();
  await using both = await pair({ onMessage: () => {} }, {
    onDrain: (conn) => drains.push(conn.queuedBytes),
  });
  both.client.send("x".repeat(1000));
  const drained = both.client.drained().then(() => drains.all.length);
  assertEquals(await drains.next(), 0);
  // The promise resolves before the callback is called.
  assertEquals(await drained, 0);
});

Deno.test("X13 queued_count: queuedMessages corresponds to it", async () => {
  await using both = await pair({ onMessage: () => {} });
  both.client.send("a");
  both.client.send("b");
  assertEquals(both.client.queuedMessages, 2);
  await both.client.drained();
  assertEquals(both.client.queuedMessages, 0);
});

Deno.test("X14 stop_read, start_read, stop_write, start_write: both directions can be paused", async () => {
  const got = new Events<unknown>();
  await using both = await pair({ onMessage: (_conn, data) => got.push(data) });
  const { client, server } = both;
  client.pauseSending();
  client.send("held back");
  // Control frames are sent all the same.
  await client.ping();
  assertEquals([client.queuedMessages, got.all.length], [1, 0]);
  client.resumeSending();
  assertEquals(await got.next(), "held back");
  server.pause();
  client.send("paused");
  await client.ping();
  assertEquals([server.isPaused, got.all.length], [true, 1]);
  server.resume();
  assertEquals(await got.next(), "paused");
  client.pauseSending();
  client.send("closing lifts it");
  client.close();
  assertEquals(await got.next(), "closing lifts it");
});

Deno.test("X15 shutdown_write: the queue is flushed, the direction is ended, and later sends throw", async () => {
  const ctx = new Context();
  let pinged: Promise<unknown> | undefined;
  await using listener = ctx.listen({ hostname: "127.0.0.1", onConnect: begin });
  function begin(conn: Connection) {
    conn.send("last words");
    conn.shutdownWrite();
    assertThrows(() => conn.send("no"), Error, "Cannot send");
    assertThrows(() => conn.sendFragment("no"), Error, "Cannot send");
    pinged = assertRejects(() => conn.ping(), Error, "Cannot ping");
    conn.on({ onMessage: (_conn, data) => got.push(data) });
  }
  const got = new Events<unknown>();
  using peer = await rawClient(listener.port);
  assertEquals(text((await peer.frame())!.payload), "last words");
  assertEquals(await peer.frame(), null);
  await pinged;
  // The other direction stays open.
  await peer.send(TEXT, "still heard");
  assertEquals(await got.next(), "still heard");
  const [conn] = listener.connections;
  peer.close();
  assertEquals((await conn.closed).sent, null);
});

Deno.test("X15 shutdown_read: input is discarded, its end is noticed, and close() doesn't wait for an answer", async () => {
  const ctx = new Context();
  const accepted = Promise.withResolvers<Connection>();
  await using listener = ctx.listen({
    hostname: "127.0.0.1",
    closeTimeout: 1_000_000,
    onConnect: (conn) => accepted.resolve(conn),
    onMessage: () => assert(false, "a message was delivered"),
  });
  {
    using peer = await rawClient(listener.port);
    const conn = await accepted.promise;
    conn.shutdownRead();
    await assertRejects(() => conn.ping(), Error, "after shutdownRead");
    await peer.send(TEXT, "unheard");
    conn.send("heard");
    assertEquals(text((await peer.frame())!.payload), "heard");
    conn.close(4000);
    assertEquals((await peer.frame())!.opcode, CLOSE);
    const { sent, received, code } = await conn.closed;
    assertEquals([sent?.code, received, code], [4000, null, 1006]);
  }
  await using other = await pair({ onMessage: () => {} });
  other.server.shutdownRead();
  other.client.terminate();
  assertEquals((await other.server.closed).code, 1006);
});

Deno.test("X16 close(code, reason): the socket is closed even if the peer doesn't close", async () => {
  const ctx = new Context();
  await using listener = ctx.listen({ hostname: "127.0.0.1", closeTimeout: 20 });
  using peer = await rawClient(listener.port);
  const [conn] = listener.connections;
  conn.close(1000, "bye");
  assertEquals(readClose((await peer.next(CLOSE)).payload), { code: 1000, reason: "bye" });
  // The peer neither answers nor closes.
  const { sent, received, wasClean } = await conn.closed;
  assertEquals([sent?.code, received, wasClean], [1000, null, false]);
  assertEquals(await peer.frame(), null);
});

Deno.test("X18 messages up to 2 GiB and lengths up to 2^53 are decoded from a synthetic stream", () => {
  const seen: number[] = [];
  let passed = 0;
  const decoder: FrameDecoder = new FrameDecoder("client", {
    frameStart: () => seen.push(decoder.length),
    frameData: (_source, start, end, last) => {
      passed += end - start;
      if (last) seen.push(passed);
    },
  });
  const length = 5 * 1024 * MiB;
  const header = new Uint8Array(10);
  header.set([0x82, 127]);
  new DataView(header.buffer).setBigUint64(2, BigInt(length));
  const feed = (bytes: Uint8Array) =>
    decoder.decode({ bytes, view: new DataView(bytes.buffer) }, 0, bytes.length);
  feed(header);
  const piece = new Uint8Array(MiB);
  for (let i = 0; i < length / MiB; i++) feed(piece);
  feed(frame(TEXT));
  assertEquals(seen, [length, length, 0, length]);
});

Deno.test("X18 a header may announce 2^53 - 1 bytes", async () => {
  const lengths = new Events<number>();
  const ctx = new Context();
  await using listener = ctx.listen({
    hostname: "127.0.0.1",
    assemble: false,
    maxMessageSize: 0,
    onFrameStart: (_conn, { length }) => lengths.push(length),
  });
  using peer = await rawClient(listener.port);
  const header = new Uint8Array(14);
  header.set([0x82, 0xff]);
  new DataView(header.buffer).setBigUint64(2, BigInt(Number.MAX_SAFE_INTEGER));
  await peer.write(header);
  assertEquals(await lengths.next(), Number.MAX_SAFE_INTEGER);
  for (const conn of listener.connections) conn.terminate();
});
