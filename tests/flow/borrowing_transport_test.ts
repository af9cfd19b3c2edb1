/** Large messages over a transport that only borrows what it writes. */
import { assert, assertEquals } from "@std/assert";
import type { AdoptOptions, Connection } from "../../mod.ts";
import { PrefixedTransport } from "../../src/transport/prefixed.ts";
import { ReadyConn } from "../support/memory_conn.ts";
import { keyOf } from "../support/messages.ts";
import { adoptedPair } from "../support/pair.ts";

const KIB = 1024, MIB = 1024 * KIB;

class BorrowingConn extends ReadyConn {
  readonly borrows = true;
}

/** Bytes that tell their places. */
function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * seed) ^ (i >> 8) * 31;
  return bytes;
}

function borrowing(options: AdoptOptions = {}, capacity = Infinity) {
  return adoptedPair(...BorrowingConn.pair(capacity), options);
}

/** Sends, and changes the bytes at once, as every program may. */
function sendAndChange(conn: Connection, bytes: Uint8Array): boolean {
  const more = conn.send(bytes);
  bytes.fill(0xee);
  return more;
}

Deno.test("a transport that borrows: what it takes of a large message at once never waits", async () => {
  await using peer = borrowing({ maxQueueBytes: 10 * MIB });
  const { conn, raw } = peer;
  const key = keyOf(pattern(MIB));
  assertEquals([sendAndChange(conn, pattern(MIB)), conn.queuedBytes], [true, 0]);
  const { opcode, payload } = (await raw.frame())!;
  assertEquals([opcode, keyOf(payload)], [2, key]);
  const { messagesSent, drains, queueHighWater } = conn.stats();
  assertEquals([messagesSent, drains, queueHighWater], [1, 0, 0]);
});

Deno.test("a transport that borrows: what it doesn't take is copied, counted, and drains", async () => {
  for (const capacity of [10 * KIB, 100 * KIB, 300 * KIB]) {
    let drains = 0;
    await using peer = borrowing(
      { maxQueueBytes: 10 * MIB, onDrain: () => void drains++ },
      capacity,
    );
    const { conn, raw } = peer;
    const keys = [keyOf(pattern(700 * KIB)), keyOf(pattern(200 * KIB, 3)), keyOf(pattern(9, 5))];
    assertEquals(sendAndChange(conn, pattern(700 * KIB)), false);
    const { queuedBytes } = conn;
    assertEquals(conn.stats().queueHighWater, queuedBytes);
    assert(queuedBytes > 700 * KIB - capacity - 300 * KIB && queuedBytes <= 700 * KIB);
    sendAndChange(conn, pattern(200 * KIB, 3));
    sendAndChange(conn, pattern(9, 5));
    for (const key of keys) assertEquals(keyOf((await raw.frame())!.payload), key);
    await conn.flushed();
    assertEquals([conn.queuedBytes, drains, conn.stats().messagesSent], [0, 1, 3]);
  }
});

Deno.test("a transport that borrows: nothing passes what was sent before", async () => {
  await using peer = borrowing({
    maxQueueBytes: 10 * MIB,
    onMessage(conn, data) {
      conn.send("before");
      sendAndChange(conn, data as Uint8Array);
      conn.send("after");
    },
  });
  const { raw } = peer;
  const bytes = pattern(300 * KIB);
  await raw.send(9, Uint8Array.of(7));
  await raw.send(2, bytes);
  const frames = [];
  for (let i = 0; i < 4; i++) {
    const { opcode, payload } = (await raw.frame())!;
    frames.push(opcode === 2 ? keyOf(payload) : opcode);
  }
  assertEquals(frames, [10, 1, keyOf(bytes), 1]);
});

Deno.test("a transport that borrows: held messages wait, and a client's are masked", async () => {
  await using held = borrowing({ maxQueueBytes: 10 * MIB });
  held.conn.pauseSending();
  assertEquals(sendAndChange(held.conn, pattern(MIB)), false);
  assertEquals([held.conn.queuedBytes, held.ours.writes], [MIB, 0]);
  held.conn.resumeSending();
  assertEquals(keyOf((await held.raw.frame())!.payload), keyOf(pattern(MIB)));

  await using client = borrowing({ role: "client", maxQueueBytes: 10 * MIB });
  const bytes = pattern(MIB);
  client.conn.send(bytes);
  assertEquals(keyOf(bytes), keyOf(pattern(MIB)));
  assertEquals(keyOf((await client.raw.frame())!.payload), keyOf(pattern(MIB)));
});

Deno.test("a transport that borrows: a program that sends until it is told to stop is told so", async () => {
  await using peer = borrowing({ maxQueueBytes: 10 * MIB });
  const { conn } = peer;
  const bytes = new Uint8Array(200 * KIB);
  let sent = 0;
  while (sent < 100 && conn.send(bytes)) sent++;
  assert(sent >= 1 && sent <= 8, `${sent} messages`);
  await conn.drained();
  assert(conn.send(bytes));
});

Deno.test("a transport that borrows: one that throws fails the connection, and nothing is claimed", async () => {
  await using peer = borrowing({ maxQueueBytes: 10 * MIB, onError() {} });
  const { conn, ours, raw } = peer;
  ours.tryWrite = () => {
    throw new Deno.errors.BrokenPipe("gone");
  };
  assertEquals([sendAndChange(conn, pattern(MIB)), conn.state], [false, "open"]);
  raw.close();
  const record = await conn.closed;
  assertEquals([record.code, record.unsentMessages, record.unsentBytes], [1006, 1, MIB]);
});

Deno.test("a transport that borrows: a debug function that calls back finds the message whole", async () => {
  for (const act of ["change", "hold", "terminate"]) {
    const bytes = pattern(300 * KIB), { length } = bytes;
    await using peer = borrowing({
      maxQueueBytes: 10 * MIB,
      debug(line) {
        if (!line.includes(`-> binary ${length} bytes`)) return;
        if (act === "change") bytes.fill(0xee);
        else if (act === "hold") peer.conn.pauseSending();
        else peer.conn.terminate();
      },
    });
    const { conn, raw } = peer;
    conn.send(bytes);
    if (act === "terminate") {
      assertEquals((await conn.closed).unsentMessages, 1);
    } else {
      conn.resumeSending();
      assertEquals(keyOf((await raw.frame())!.payload), keyOf(pattern(length)));
    }
  }
});

Deno.test("a transport with a prefix borrows as the one below does", () => {
  const [plain, other] = ReadyConn.pair();
  const [below, peer] = BorrowingConn.pair();
  const prefix = Uint8Array.of(1);
  assertEquals(new PrefixedTransport(prefix, plain).borrows, undefined);
  assertEquals(new PrefixedTransport(prefix, below).borrows, true);
  for (const conn of [plain, other, below, peer]) conn.close();
});
