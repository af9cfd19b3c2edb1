import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { Context, InvalidStateError, ProtocolError, TimeoutError } from "../../mod.ts";
import { MemoryConn } from "../support/memory_conn.ts";
import { numbered, numberOf } from "../support/messages.ts";
import { pair, RAW_LISTENERS, rawHost, rawPeer, testPair, testRaw } from "../support/pair.ts";
import { join } from "../support/bytes.ts";
import { turn, until } from "../support/until.ts";

const KIB = 1024;
const MANY = 192;

Deno.test("close() sends queued data first, then the close frame, and the record has both frames", async () => {
  for (const open of [rawPeer, rawHost]) {
    await using peer = await open();
    const { conn, raw } = peer;
    for (let i = 0; i < MANY; i++) conn.send(numbered(i, 64 * KIB));
    conn.close(3001, "bye");
    assertEquals(conn.state, "closing");
    for (let i = 0; i < MANY; i++) assertEquals(numberOf((await raw.frame())!.payload), i);
    const { opcode, payload } = (await raw.frame())!;
    assertEquals([opcode, payload[0] * 256 + payload[1]], [8, 3001]);
    await raw.sendClose(3001, "echo");
    if (conn.role === "client") raw.conn.closeWrite();
    const { toString: _, ...record } = await conn.closed;
    assertEquals(record, {
      code: 3001,
      reason: "echo",
      wasClean: true,
      sent: { code: 3001, reason: "bye" },
      received: { code: 3001, reason: "echo" },
      initiator: "local",
      cause: undefined,
      unsentMessages: 0,
      unsentBytes: 0,
      undelivered: 0,
    });
    assertEquals([conn.state, conn.queuedBytes, conn.queuedMessages], ["closed", 0, 0]);
  }
});

testRaw("the peer's close is answered with its code after queued data", async (rawPeer) => {
  await using peer = await rawPeer();
  const { conn, raw } = peer;
  for (let i = 0; i < MANY; i++) conn.send(numbered(i, 64 * KIB));
  await raw.sendClose(4000, "peer");
  for (let i = 0; i < MANY; i++) assertEquals(numberOf((await raw.frame())!.payload), i);
  assertEquals((await raw.frame())!.opcode, 8);
  assertEquals(await raw.frame(), null);
  const record = await conn.closed;
  assertEquals([record.initiator, record.code, record.reason], ["remote", 4000, "peer"]);
  assertEquals([record.wasClean, record.unsentMessages], [true, 0]);
  assertEquals(
    `${record}`,
    `received 4000 (${/\((.*?)\)/.exec(`${record}`)![1]}) "peer"; sent 4000 (${
      /\((.*?)\)/.exec(`${record}`)![1]
    }) "peer"`,
  );
}, RAW_LISTENERS);

testPair(
  "crossing close frames lead to clean ends that were both initiated locally",
  async (pair) => {
    await using both = await pair();
    both.client.close(3001);
    both.server.close(3002);
    const client = await both.client.closed, server = await both.server.closed;
    assertEquals([client.code, client.sent!.code, client.wasClean], [3002, 3001, true]);
    assertEquals([server.code, server.sent!.code, server.wasClean], [3001, 3002, true]);
    assertEquals([client.initiator, server.initiator], ["local", "local"]);
  },
);

testRaw(
  "a second close(), and one on a closed connection, has no effect; invalid arguments always throw",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    assertThrows(() => conn.close(1005), RangeError, "1005");
    assertThrows(() => conn.close(3000, "é".repeat(62)), RangeError, "12");
    assertEquals(conn.state, "open");
    conn.close(3000);
    conn.close(3001);
    await raw.sendClose(3000);
    assertEquals((await conn.closed).sent!.code, 3000);
    conn.close(3002);
    conn.terminate();
    assertThrows(() => conn.close(999), RangeError, "999");
    assertEquals((await raw.frames()).map(({ payload }) => payload[1]), [3000 & 255]);
  },
  RAW_LISTENERS,
);

Deno.test("a client waits for the server to close TCP, a server closes it", async () => {
  await using peer = await rawHost();
  const { conn, raw } = peer;
  await raw.sendClose(1000);
  assertEquals((await raw.frame())!.opcode, 8);
  await turn();
  assertEquals(conn.state, "closing");
  raw.close();
  assertEquals((await conn.closed).wasClean, true);
  await using other = await rawPeer();
  other.conn.close();
  await other.raw.frame();
  await other.raw.sendClose(1000);
  assertEquals(await other.raw.frame(), null);
});

Deno.test("a client whose server doesn't close TCP closes it at closeTimeout, cleanly", async () => {
  await using peer = await rawHost({ closeTimeout: 20 });
  await peer.raw.sendClose(1000);
  assertEquals((await peer.conn.closed).wasClean, true);
});

testRaw(
  "a peer that never reads can't delay the end beyond closeTimeout",
  async (rawPeer) => {
    const errors: unknown[] = [];
    await using peer = await rawPeer({
      closeTimeout: 50,
      onError: (_, error) => errors.push(error),
    });
    const { conn } = peer;
    for (let i = 0; i < MANY; i++) conn.send(numbered(i, 64 * KIB));
    // On a busy machine the first write may take longer than the timeout.
    await until(() => conn.queuedBytes <= (MANY - 1) * 64 * KIB);
    conn.close();
    const record = await conn.closed;
    assertEquals([record.code, record.wasClean, record.sent, record.initiator], [
      1006,
      false,
      null,
      null,
    ]);
    assertInstanceOf(record.cause, TimeoutError);
    assert(record.unsentMessages > 60 && record.unsentMessages < MANY);
    assert(record.unsentBytes > (record.unsentMessages - 1) * 64 * KIB);
    assert(record.unsentBytes <= record.unsentMessages * 64 * KIB);
    assertEquals(errors, []);
  },
  RAW_LISTENERS,
);

testRaw(
  "a peer that never reads can't delay the end with its close frame, and the close isn't clean then",
  async (rawPeer) => {
    await using peer = await rawPeer({ closeTimeout: 50 });
    const { conn, raw } = peer;
    for (let i = 0; i < MANY; i++) conn.send(numbered(i, 64 * KIB));
    await raw.sendClose(1000);
    const record = await conn.closed;
    assertEquals([record.code, record.wasClean, record.sent], [1000, false, null]);
    assertEquals([record.received!.code, record.initiator], [1000, "remote"]);
  },
  RAW_LISTENERS,
);

Deno.test("a peer that doesn't answer a close frame is terminated at closeTimeout", async () => {
  for (const open of [rawPeer, rawHost]) {
    await using peer = await open({ closeTimeout: 20 });
    peer.conn.close();
    const record = await peer.conn.closed;
    assertEquals([record.code, record.sent!.code, record.received], [1006, 1000, null]);
  }
});

testRaw("closeTimeout restarts whenever the kernel accepts queued bytes", async (rawPeer) => {
  await using peer = await rawPeer({ closeTimeout: 400 });
  const { conn, raw } = peer;
  for (let i = 0; i < MANY; i++) conn.send(numbered(i, 64 * KIB));
  conn.close();
  // One MiB at a time: all of it takes longer than closeTimeout, each step takes less.
  const start = performance.now();
  for (let i = 0; i < MANY; i++) {
    assertEquals(numberOf((await raw.frame())!.payload), i);
    if (i % 8 === 0) {
      await until(() => performance.now() - start > i * 3);
    }
  }
  assertEquals((await raw.frame())!.opcode, 8);
  await raw.sendClose(1000);
  assertEquals((await conn.closed).wasClean, true);
  assert(performance.now() - start > 400);
}, RAW_LISTENERS);

testRaw(
  "terminate() sends no close frame, delivers nothing after it, and counts unsent messages",
  async (rawPeer) => {
    const log: string[] = [];
    await using peer = await rawPeer({
      onMessage(conn, data) {
        log.push(data as string);
        conn.terminate();
      },
      onPing: () => log.push("ping"),
      onClose: () => log.push("close"),
    });
    const { conn, raw } = peer;
    conn.send("gone");
    conn.send(numbered(0, 200_000));
    assertEquals(conn.queuedMessages, 2);
    await raw.write(join([raw.encode(1, "a"), raw.encode(1, "b"), raw.encode(9), raw.encode(8)]));
    const record = await conn.closed;
    await turn();
    assertEquals(log, ["a", "close"]);
    assertEquals([record.code, record.sent, record.received, record.initiator, record.wasClean], [
      1006,
      null,
      null,
      null,
      false,
    ]);
    assertEquals(record.cause, undefined);
    assertEquals([conn.state, conn.queuedBytes], ["closed", 0]);
  },
  RAW_LISTENERS,
);

testRaw("terminate() counts queued messages that weren't passed to the kernel", async (rawPeer) => {
  await using peer = await rawPeer();
  peer.conn.send("12345");
  peer.conn.send("678");
  peer.conn.terminate();
  const record = await peer.conn.closed;
  assertEquals([record.unsentMessages, record.unsentBytes], [2, 8]);
  assertEquals(
    `${record}`,
    "no close frame sent; no close frame received; 2 messages unsent",
  );
}, RAW_LISTENERS);

testRaw(
  "a violation leads to a close frame and a half-close, and input is discarded until its end",
  async (rawPeer) => {
    const log: string[] = [];
    await using peer = await rawPeer({
      onMessage: (_, data) => log.push(data as string),
      onError: (_, error) => log.push((error as Error).name),
    });
    const { conn, raw } = peer;
    await raw.write(join([raw.encode(1, "a"), new Uint8Array([0x83, 0x80])]));
    const { payload } = await raw.next(8);
    assertEquals(payload[0] * 256 + payload[1], 1002);
    assertEquals(await raw.frame(), null);
    // Much more than all buffers hold: the bytes are read and ignored.
    for (let i = 0; i < MANY; i++) await raw.send(2, numbered(i, 64 * KIB));
    await raw.sendClose(1000);
    assertEquals(conn.state, "closing");
    raw.close();
    const record = await conn.closed;
    assertEquals([record.code, record.sent!.code, record.received, record.initiator], [
      1006,
      1002,
      null,
      "local",
    ]);
    assertInstanceOf(record.cause, ProtocolError);
    assertEquals(log, ["a", "ProtocolError"]);
  },
  RAW_LISTENERS,
);

testRaw(
  "after a violation a peer that keeps its direction open is disconnected at closeTimeout",
  async (rawPeer) => {
    await using peer = await rawPeer({ closeTimeout: 20 });
    await peer.raw.write(new Uint8Array([0xff]));
    assertEquals((await peer.conn.closed).code, 1006);
  },
  RAW_LISTENERS,
);

testRaw(
  "a violation followed by a half-close is answered with a close frame after all queued data",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    for (let i = 0; i < MANY; i++) conn.send(numbered(i, 64 * KIB));
    await raw.write(new Uint8Array([0xff]));
    await raw.conn.closeWrite();
    await until(() => conn.state === "closing");
    const frames = await raw.frames();
    assertEquals(frames.length, MANY + 1);
    assertEquals([...frames.at(-1)!.payload.subarray(0, 2)], [1002 >> 8, 1002 & 255]);
    assertInstanceOf((await conn.closed).cause, ProtocolError);
  },
  RAW_LISTENERS,
);

testRaw("a violation after our own close() doesn't lose queued data", async (rawPeer) => {
  const errors: unknown[] = [];
  await using peer = await rawPeer({ onError: (_, error) => errors.push(error) });
  const { conn, raw } = peer;
  for (let i = 0; i < MANY; i++) conn.send(numbered(i, 64 * KIB));
  conn.close(3000);
  await raw.write(new Uint8Array([0xff]));
  await until(() => errors.length === 1);
  const frames = await raw.frames();
  assertEquals(frames.length, MANY + 1);
  assertEquals([...frames.at(-1)!.payload], [3000 >> 8, 3000 & 255]);
  raw.close();
  const record = await conn.closed;
  assertEquals([record.code, record.sent!.code, record.unsentMessages], [1006, 3000, 0]);
}, RAW_LISTENERS);

testRaw(
  "a peer that vanishes leads to 1006 with the cause, and to onError before onClose",
  async (rawPeer) => {
    for (const how of ["end", "reset", "in the middle of a frame"] as const) {
      const log: string[] = [];
      await using peer = await rawPeer({
        onError: () => log.push("error"),
        onClose: () => log.push("close"),
      });
      const { conn, raw } = peer;
      if (how === "reset") {
        conn.send("unread makes it a reset");
        await conn.drained();
      }
      if (how === "in the middle of a frame") {
        await raw.write(raw.encode(1, "message").subarray(0, 8));
      }
      raw.close();
      const record = await conn.closed;
      assertEquals([record.code, record.wasClean, record.initiator], [1006, false, null]);
      assertInstanceOf(record.cause, Error);
      assertEquals(log, ["error", "close"]);
      assert(`${record}`.includes((record.cause as Error).message));
    }
  },
  RAW_LISTENERS,
);

Deno.test("after a reset unsent messages are counted, and pending calls reject", async () => {
  await using peer = await rawPeer();
  const { conn, raw } = peer;
  for (let i = 0; i < MANY; i++) conn.send(numbered(i, 64 * KIB));
  const drained = conn.drained().then(() => "drained", (error) => error.name);
  const round = conn.ping().then(() => "pong", (error) => error.name);
  await raw.frame();
  raw.close();
  const record = await conn.closed;
  assertEquals([await drained, await round], ["ConnectionClosedError", "ConnectionClosedError"]);
  assertEquals(record.code, 1006);
  assert(record.unsentMessages > 60 && record.unsentMessages < MANY);
  assertInstanceOf(record.cause, Error);
});

testRaw(
  "a failed write doesn't hide the close frame that the peer has sent before",
  async (rawPeer) => {
    const log: string[] = [];
    await using peer = await rawPeer({
      onError: () => log.push("error"),
      onMessage: (_, data) => log.push(`${data.length}`),
    });
    const { conn, raw } = peer;
    await raw.write(join([raw.encode(1, "abc"), raw.encode(8, new Uint8Array([0x0f, 0xa0]))]));
    raw.close();
    for (let i = 0; i < MANY && conn.state === "open"; i++) conn.send(numbered(i, 64 * KIB));
    const record = await conn.closed;
    assertEquals([record.code, log.at(0)], [4000, "3"]);
    assertEquals(record.received!.code, 4000);
  },
  RAW_LISTENERS,
);

testRaw("the peer's half-close without a close frame ends the connection", async (rawPeer) => {
  await using peer = await rawPeer();
  await peer.raw.conn.closeWrite();
  const record = await peer.conn.closed;
  assertInstanceOf(record.cause, Deno.errors.UnexpectedEof);
  assertEquals(record.code, 1006);
}, RAW_LISTENERS);

Deno.test("after shutdownRead() a failed write is reported, whether the peer's end was noticed before or not", async () => {
  for (const seen of [true, false]) {
    await using ctx = new Context();
    const told: unknown[] = [];
    const [near, far] = MemoryConn.pair(100);
    const conn = ctx.adopt(near, {
      handshake: false,
      onMessage() {},
      onError: (_, error) => void told.push(error),
    });
    await conn.opened;
    conn.shutdownRead();
    conn.send(new Uint8Array(1000));
    await turn();
    if (seen) {
      await far.closeWrite();
      await until(() => conn.state === "closing");
    }
    far.close();
    const record = await conn.closed;
    assertInstanceOf(record.cause, Deno.errors.BrokenPipe);
    assertEquals(told, [record.cause]);
    assertEquals([record.code, record.unsentMessages], [1006, 1]);
  }
});

Deno.test("a peer that vanishes after our close() leads to 1006 with the cause, and not to onError", async () => {
  const errors: unknown[] = [];
  await using peer = await rawPeer({ onError: (_, error) => errors.push(error) });
  peer.conn.close();
  await peer.raw.next(8);
  peer.raw.close();
  const record = await peer.conn.closed;
  assertEquals([record.code, record.sent!.code, record.initiator], [1006, 1000, "local"]);
  assertInstanceOf(record.cause, Deno.errors.UnexpectedEof);
  assertEquals(errors, []);
});

Deno.test("the close record is printed as a sentence", async () => {
  await using both = await pair();
  both.client.close(1000, "done");
  assertEquals(
    `${await both.client.closed}`,
    'sent 1000 (normal closure) "done"; received 1000 (normal closure) "done"',
  );
  assertEquals(
    `${await both.server.closed}`,
    'received 1000 (normal closure) "done"; sent 1000 (normal closure) "done"',
  );
  await using peer = await rawPeer();
  await peer.raw.send(8);
  assertEquals(
    `${await peer.conn.closed}`,
    "received a close frame without code; sent a close frame without code",
  );
});

testPair("closed resolves with the same record for early and late callers", async (pair) => {
  await using both = await pair();
  const early = both.client.closed;
  both.client.close();
  const record = await early;
  assert(record === await both.client.closed);
});

testRaw(
  "close() may send its frame between the fragments of an unfinished message",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    conn.sendFragment("first ");
    conn.sendFragment("second ");
    assertThrows(() => conn.send("between"), InvalidStateError);
    conn.close();
    assertThrows(() => conn.sendFragment("third", { final: true }), Error, "closing");
    const frames = [await raw.frame(), await raw.frame(), await raw.frame()];
    assertEquals(frames.map((frame) => [frame!.opcode, frame!.fin]), [[1, false], [0, false], [
      8,
      true,
    ]]);
    await raw.sendClose(1000);
    assertEquals((await conn.closed).wasClean, true);
  },
  RAW_LISTENERS,
);

testPair(
  "sendFragment: fragments form one message, with control frames in between, and keep type and limits",
  async (pair) => {
    const got: unknown[] = [];
    await using both = await pair({ onMessage: (_, data) => got.push(data) }, {
      maxQueueBytes: 100,
    });
    const { client } = both;
    const fragment = (data: string | Uint8Array, final = false) =>
      client.sendFragment(data, { final });
    fragment("a\ud83d");
    await client.ping();
    fragment("\ude00b");
    fragment(new Uint8Array([0xc3]));
    assertThrows(() => fragment(new Uint8Array([0x28])), TypeError, "UTF-8");
    assertThrows(() => fragment("", true), TypeError, "UTF-8");
    assertThrows(() => fragment(new Uint8Array([0xa9, 0xe2]), true), TypeError, "UTF-8");
    fragment(new Uint8Array([0xa9]));
    assertThrows(() => fragment("x".repeat(200)), Error, "100");
    fragment("", true);
    fragment(new Uint8Array([1]));
    fragment(new Uint8Array([2]), true);
    client.sendFragment("é", { binary: true });
    fragment("", true);
    fragment("end\ud800", true);
    await client.ping();
    assertEquals(got, [
      "a😀bé",
      new Uint8Array([1, 2]),
      new Uint8Array([0xc3, 0xa9]),
      "end\ufffd",
    ]);
    assertEquals(client.stats().messagesSent, 4);
  },
);

testRaw(
  "an overflow that closes the connection is reported once, whatever the peer does then",
  async (rawPeer) => {
    const errors: unknown[] = [];
    await using peer = await rawPeer({
      maxQueueBytes: 1000,
      whenQueueFull: "close",
      closeTimeout: 500,
      onError: (_, error) => void errors.push(error),
    });
    const { conn, raw } = peer;
    conn.pauseSending();
    conn.send(new Uint8Array(900));
    conn.send(new Uint8Array(900));
    assertEquals(errors.length, 1);
    // A reserved opcode.
    await raw.send(3, "x");
    await conn.closed;
    assertEquals(errors.length, 1);
  },
  RAW_LISTENERS,
);
