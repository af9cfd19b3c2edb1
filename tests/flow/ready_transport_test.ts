import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import type { AdoptOptions, Connection } from "../../mod.ts";
import { PrefixedTransport } from "../../src/transport/prefixed.ts";
import type { Transport } from "../../src/transport/transport.ts";
import { ReadyConn } from "../support/memory_conn.ts";
import { numbered, numberOf } from "../support/messages.ts";
import { adoptedPair } from "../support/pair.ts";
import { until } from "../support/until.ts";

const KIB = 1024;

/** A connection over a transport that reports readiness, and its peer. */
function ready(options: AdoptOptions = {}, capacity?: number) {
  return adoptedPair(...ReadyConn.pair(capacity), options);
}

Deno.test("a transport that reports readiness: messages of one turn are sent in one write, without waiting", async () => {
  await using peer = ready();
  const { conn, ours, raw } = peer;
  for (let i = 0; i < 100; i++) conn.send(numbered(i, 100));
  await null;
  assertEquals([conn.queuedBytes, ours.writes, ours.waits], [0, 1, 0]);
  for (let i = 0; i < 100; i++) assertEquals(numberOf((await raw.frame())!.payload), i);
});

Deno.test("a transport that reports readiness: messages wait in order while it is full, and drain", async () => {
  let drains = 0;
  await using peer = ready({ onDrain: () => void drains++ }, 10 * KIB);
  const { conn, ours, raw } = peer;
  for (let i = 0; i < 40; i++) conn.send(numbered(i, 3000));
  const drained = conn.drained();
  await null;
  assert(conn.queuedBytes > 100_000 && ours.waits === 1, `${conn.queuedBytes}, ${ours.waits}`);
  // A ping waits only for the block that is being written.
  const ping = conn.ping("now");
  const opcodes: number[] = [];
  for (let i = 0; i < 40;) {
    const { opcode, payload } = (await raw.frame())!;
    opcodes.push(opcode);
    if (opcode === 2) assertEquals(numberOf(payload), i++);
    else await raw.send(10, payload);
  }
  await ping;
  await drained;
  assertEquals([conn.queuedBytes, drains], [0, 1]);
  assert(opcodes.indexOf(9) < 30, `the ping was frame ${opcodes.indexOf(9)}`);
});

Deno.test("a transport that reports readiness: others get their turn beside an onDrain that always sends more", async () => {
  const bytes = new Uint8Array(64 * KIB);
  let sent = 0, turns = 0;
  await using peer = ready({
    maxMessageSize: 0,
    onDrain(conn: Connection) {
      if (++sent < 500) conn.send(bytes);
    },
  }, Infinity);
  const count = setInterval(() => turns++, 0);
  peer.conn.send(bytes);
  await until(() => sent === 500);
  clearInterval(count);
  assert(turns > 10, `${turns} turns for 500 sends`);
});

Deno.test("a transport that reports readiness: close is sent after queued messages, and ends the stream", async () => {
  await using peer = ready({}, 10 * KIB);
  const { conn, ours, raw } = peer;
  for (let i = 0; i < 20; i++) conn.send(numbered(i, 3000));
  conn.close(3001);
  for (let i = 0; i < 20; i++) assertEquals(numberOf((await raw.frame())!.payload), i);
  assertEquals(await raw.closeCode(), 3001);
  await raw.sendClose(3001);
  const record = await conn.closed;
  assertEquals([record.wasClean, record.unsentMessages, ours.closes], [true, 0, 1]);
});

Deno.test("a transport that reports readiness: a pending read gets the next bytes, or the end", async () => {
  for (const first of [Uint8Array.of(1, 2, 3), new Uint8Array(0)]) {
    const [below, other] = ReadyConn.pair();
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    const transport: Transport = new PrefixedTransport(promise, below);
    const into = new Uint8Array(2);
    const readable = () => new Promise<void>((ready) => transport.whenReadable!(ready));
    assertEquals(transport.tryRead!(into), 0);
    const told = readable();
    resolve(first);
    await told;
    if (first.length === 0) {
      assertEquals(transport.tryRead!(into), null);
      await readable();
      assertEquals([transport.tryRead!(into), await transport.read(into)], [null, null]);
    } else {
      assertEquals([transport.tryRead!(into), ...into], [2, 1, 2]);
      await readable();
      assertEquals([transport.tryRead!(into), into[0]], [1, 3]);
      assertEquals(transport.tryRead!(into), 0);
      const later = readable();
      await other.write(Uint8Array.of(9));
      await later;
      assertEquals([transport.tryRead!(into), into[0]], [1, 9]);
    }
    transport.close();
    other.close();
  }
});

Deno.test("a transport that reports readiness: an exception fails the connection once", async () => {
  const errors: unknown[] = [];
  let closes = 0;
  await using peer = ready({
    onError: (_, error) => void errors.push(error),
    onClose: () => void closes++,
  });
  const { conn, ours, raw } = peer;
  const cause = new Deno.errors.BrokenPipe("gone");
  ours.tryWrite = () => {
    throw cause;
  };
  conn.send("lost");
  await null;
  raw.close();
  const record = await conn.closed;
  assertEquals([record.code, record.unsentMessages, closes], [1006, 1, 1]);
  assertInstanceOf(record.cause, Deno.errors.BrokenPipe);
  assertEquals(errors, [cause]);
});
