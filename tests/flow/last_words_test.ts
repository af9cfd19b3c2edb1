import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { type AdoptOptions, ConnectionClosedError, type ListenOptions } from "../../mod.ts";
import { MemoryConn } from "../support/memory_conn.ts";
import { numbered, numberOf } from "../support/messages.ts";
import { adoptedPair, rawHost, rawPeer } from "../support/pair.ts";
import { turn, until } from "../support/until.ts";

const KIB = 1024;

/** A connection over a pipe in memory, and its raw peer. */
function piped(options: AdoptOptions = {}, capacity?: number) {
  const [ours, theirs] = MemoryConn.pair(capacity);
  return { theirs, ...adoptedPair(ours, theirs, options) };
}

Deno.test("fault 14: a failed write doesn't prevent reading what the peer has sent before", async () => {
  let handled = 0;
  const errors: unknown[] = [], goOn = Promise.withResolvers<void>();
  await using peer = await rawPeer({
    async onMessage(conn, data) {
      // Bytes above `readAhead` stay in the kernel's buffer.
      await goOn.promise;
      handled++;
      if (conn.state === "open") conn.send(data);
    },
    onError: (_, error) => void errors.push(error),
  });
  const { conn, raw } = peer;
  for (let i = 0; i < 100; i++) await raw.send(2, numbered(i, KIB));
  await raw.sendClose(1000, "that was all");
  // Closing with unread bytes makes the kernel reset the connection.
  conn.send("an answer");
  await until(() => conn.queuedBytes === 0);
  raw.close();
  for (let i = 0; conn.state === "open"; i++) {
    conn.send(`another, ${i}`);
    await turn();
  }
  goOn.resolve();
  const record = await conn.closed;
  assertEquals([handled, record.undelivered], [100, 0]);
  assertEquals([record.code, record.reason], [1000, "that was all"]);
  assertEquals([record.sent, errors], [null, []]);
});

Deno.test("fault 14: a failed write doesn't prevent that even if the application doesn't read, in pipes of every kind", async () => {
  for (const role of ["server", "client"] as const) {
    const errors: unknown[] = [], got: number[] = [];
    await using peer = piped({
      role,
      readAhead: 10 * KIB,
      onMessage: (_, data) => void got.push(numberOf(data)),
      onError: (_, error) => void errors.push(error),
    }, 1024 * KIB);
    const { conn, raw, theirs } = peer;
    conn.pause();
    for (let i = 0; i < 100; i++) await raw.send(2, numbered(i, KIB));
    await raw.sendClose(4000);
    theirs.close();
    await turn();
    conn.send("it has gone");
    await until(() => conn.state === "closing");
    assertEquals([conn.queuedBytes, got.length], [0, 0]);
    conn.resume();
    const record = await conn.closed;
    assertEquals(got.length, 100);
    assertEquals([record.code, record.undelivered, record.unsentMessages], [4000, 0, 1]);
    assertEquals([record.sent, record.wasClean, errors], [null, false, []]);
  }
});

Deno.test("fault 14: a failed write without a close frame leads to 1006 with the failure as the cause, reported once", async () => {
  const errors: unknown[] = [], got: number[] = [];
  await using peer = piped({
    onMessage: (_, data) => void got.push(numberOf(data)),
    onError: (_, error) => void errors.push(error),
  });
  const { conn, raw, theirs } = peer;
  conn.pause();
  for (let i = 0; i < 10; i++) await raw.send(2, numbered(i, 10));
  theirs.reset();
  conn.send("it has gone");
  await until(() => conn.state === "closing");
  conn.resume();
  const record = await conn.closed;
  assertEquals([record.code, got.length, errors.length], [1006, 10, 1]);
  assert(errors[0] === record.cause && record.cause instanceof Error);
});

Deno.test("fault 14: after a failed write, closeTimeout ends the wait for a peer that stays", async () => {
  const errors: unknown[] = [];
  await using peer = piped({
    closeTimeout: 40,
    onMessage() {},
    onError: (_, error) => void errors.push(error),
  });
  const { conn, ours } = peer;
  const cause = new Deno.errors.BrokenPipe("no more");
  ours.write = () => Promise.reject(cause);
  conn.send("lost");
  await until(() => conn.state === "closed");
  const record = await conn.closed;
  assertEquals([record.code, record.cause, errors], [1006, cause, [cause]]);
});

/** The numbers of the messages that a peer gets before the end of the stream, and the code of its close frame. */
async function received(raw: { frames(): Promise<{ opcode: number; payload: Uint8Array }[]> }) {
  const numbers: number[] = [];
  let code = 0;
  for (const { opcode, payload } of await raw.frames()) {
    if (opcode === 8) code = payload[0] * 256 + payload[1];
    else numbers.push(numberOf(payload));
  }
  return { numbers, code };
}

const MANY = 150;
const ALL = Array.from({ length: MANY }, (_, i) => i);

async function queueMany(options: ListenOptions = {}) {
  const peer = await rawPeer({ onMessage() {}, ...options });
  for (let i = 0; i < MANY; i++) peer.conn.send(numbered(i, 64 * KIB));
  // More than the kernel accepts while the peer doesn't read.
  await turn();
  assert(peer.conn.queuedBytes > 100 * KIB, `only ${peer.conn.queuedBytes} are queued`);
  return peer;
}

Deno.test("fault 35: after shutdownRead() and shutdownWrite(), close() sends queued data first", async () => {
  await using peer = await queueMany();
  const { conn, raw } = peer;
  conn.shutdownRead();
  conn.shutdownWrite();
  conn.close();
  assertEquals((await received(raw)).numbers, ALL);
  const record = await conn.closed;
  assertEquals([record.unsentMessages, record.code, record.sent], [0, 1006, null]);
});

Deno.test("fault 35: after shutdownRead() the close frame is sent after queued data, and no answer is awaited", async () => {
  await using peer = await queueMany();
  const { conn, raw } = peer;
  conn.shutdownRead();
  conn.close(3001);
  assertEquals(await received(raw), { numbers: ALL, code: 3001 });
  const record = await conn.closed;
  assertEquals([record.unsentMessages, record.sent!.code], [0, 3001]);
});

Deno.test("fault 35: after shutdownWrite() close() waits for the peer's end, and queued data is sent", async () => {
  await using peer = await queueMany();
  const { conn, raw } = peer;
  conn.shutdownWrite();
  conn.close();
  assertEquals((await received(raw)).numbers, ALL);
  assertEquals(conn.state, "closing");
  raw.close();
  assertEquals((await conn.closed).unsentMessages, 0);
});

Deno.test("fault 35: after shutdownWrite() queued data is sent first after the peer's close frame, too", async () => {
  await using peer = await queueMany();
  const { conn, raw } = peer;
  conn.shutdownWrite();
  await raw.sendClose(1000);
  assertEquals((await received(raw)).numbers, ALL);
  const record = await conn.closed;
  assertEquals([record.unsentMessages, record.code, record.sent], [0, 1000, null]);
});

Deno.test("fault 35: a peer that half-closes gets queued data, then the stream ends", async () => {
  const errors: unknown[] = [];
  await using peer = await queueMany({ onError: (_, error) => void errors.push(error) });
  const { conn, raw } = peer;
  await raw.conn.closeWrite();
  await until(() => conn.state === "closing");
  assertEquals(errors.length, 1);
  assertEquals(await received(raw), { numbers: ALL, code: 0 });
  const record = await conn.closed;
  assertEquals([record.unsentMessages, record.code, errors], [0, 1006, [record.cause]]);
  assertInstanceOf(record.cause, Deno.errors.UnexpectedEof);
});

Deno.test("fault 35: a peer that half-closes and doesn't read is disconnected at closeTimeout", async () => {
  await using peer = await queueMany({ closeTimeout: 50 });
  await peer.raw.conn.closeWrite();
  const record = await peer.conn.closed;
  assert(record.unsentMessages > 0);
  assertEquals(record.code, 1006);
});

Deno.test("fault 36: sendStream rejects if a write fails, and leaves nothing queued", async () => {
  await using peer = piped({ highWaterMark: 1000, closeTimeout: 50, onMessage() {} }, 10 * KIB);
  const { conn, ours, raw } = peer;
  raw.frames();
  let given = 0, failing = false;
  // The peer stays connected, so only writing has ended.
  ours.write = ((write) => (data) => failing ? Promise.reject(new Error("no more")) : write(data))(
    ours.write.bind(ours),
  );
  const sent = conn.sendStream((async function* () {
    for (; given < 1000; given++) {
      yield new Uint8Array(500);
      failing ||= given === 20;
      await turn();
    }
  })());
  const error = await assertRejects(() => sent, Error, "finish a stream");
  assertEquals([conn.state, conn.queuedBytes, conn.queuedMessages], ["closing", 0, 0]);
  assertInstanceOf(error, ConnectionClosedError);
  assert(given < 30, `${given} pieces were read`);
  await until(() => conn.state === "closed");
  assertEquals([conn.queuedBytes, conn.queuedMessages], [0, 0]);
});

Deno.test("held messages are still delivered after the close timeout has ended the stream", async () => {
  const got: unknown[] = [];
  await using peer = await rawHost({
    closeTimeout: 30,
    onMessage: (_, data) => void got.push(data),
  });
  const { conn, raw } = peer;
  conn.pause();
  await raw.send(1, "held");
  await raw.sendClose(4000);
  // The server has to close the stream; this one doesn't.
  assertEquals((await raw.frames()).map(({ opcode }) => opcode), [8]);
  assertEquals([conn.state, got], ["closing", []]);
  conn.resume();
  const record = await conn.closed;
  assertEquals([got, record.undelivered, record.code], [["held"], 0, 4000]);
});
