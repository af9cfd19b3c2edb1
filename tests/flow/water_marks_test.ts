import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { type Connection, ConnectionClosedError, QueueFullError } from "../../mod.ts";
import { run } from "../support/child.ts";
import { numbered } from "../support/messages.ts";
import { pair, rawHost, rawPeer } from "../support/pair.ts";

const KIB = 1024, MIB = 1024 * KIB;

// All sends of one turn queue up, whatever the peer does: the system is asked at the end of the turn.
for (const [name, open] of [["a server", rawPeer], ["a client", rawHost]] as const) {
  Deno.test(`send of ${name} returns true up to the high-water mark, and false above`, async () => {
    await using peer = await open();
    const { conn } = peer;
    assert(conn.send(new Uint8Array(64 * KIB - 1)));
    assert(conn.send("x"));
    assertEquals(conn.queuedBytes, 64 * KIB);
    assert(!conn.send("y"));
    assert(!conn.send(""), "an empty message is queued above the mark as well");
    assertEquals(conn.queuedBytes, 64 * KIB + 1);
    assertEquals(conn.queuedMessages, 4);
  });
}

Deno.test("the high-water mark is an option, and 0 is one", async () => {
  await using peer = await rawPeer({ highWaterMark: 0 });
  assert(peer.conn.send(""));
  assert(!peer.conn.send("x"));
});

Deno.test("queuedBytes counts payload in UTF-8, not framing", async () => {
  await using peer = await rawPeer();
  const { conn } = peer;
  conn.send("é€😀");
  assertEquals(conn.queuedBytes, 9);
  conn.send("x".repeat(70_000));
  assertEquals(conn.queuedBytes, 70_009);
  conn.send(new Float64Array(3));
  assertEquals(conn.queuedBytes, 70_033);
  conn.close(1000, "not counted");
  assertEquals(conn.queuedBytes, 70_033);
  conn.terminate();
  assertEquals(conn.queuedBytes, 0);
  assertEquals(conn.queuedMessages, 0);
});

Deno.test("what was sent above the mark is queued all the same, and arrives", async () => {
  await using peer = await rawPeer({ highWaterMark: 0 });
  assert(!peer.conn.send("one"));
  assert(!peer.conn.send("two"));
  assertEquals(new TextDecoder().decode((await peer.raw.frame())!.payload), "one");
  assertEquals(new TextDecoder().decode((await peer.raw.frame())!.payload), "two");
  await peer.conn.drained();
  assertEquals(peer.conn.queuedBytes, 0);
});

Deno.test("send takes a snapshot, at every size", async () => {
  for (const size of [1, 100, 70_000]) {
    await using peer = await rawPeer();
    const bytes = new Uint8Array(size).fill(1);
    peer.conn.send(bytes);
    peer.conn.send(bytes.buffer);
    bytes.fill(2);
    assertEquals((await peer.raw.frame())!.payload, new Uint8Array(size).fill(1));
    assertEquals((await peer.raw.frame())!.payload, new Uint8Array(size).fill(1));
  }
});

Deno.test("a buffer that was handed over goes out uncopied, from both roles", async () => {
  for (const open of [rawPeer, rawHost]) {
    await using peer = await open();
    const bytes = new Uint8Array(1 * MIB).fill(3);
    peer.conn.send(bytes, { transfer: true });
    assertEquals((await peer.raw.frame())!.payload, new Uint8Array(1 * MIB).fill(3));
  }
});

Deno.test("a lone surrogate becomes U+FFFD, and every view of a buffer is binary", async () => {
  await using peer = await rawPeer();
  peer.conn.send("a\ud800b");
  peer.conn.send(new Uint16Array([1, 2, 3]).subarray(1));
  peer.conn.send(new DataView(new Uint8Array([7, 8, 9]).buffer, 1, 1));
  peer.conn.sendBinary("é");
  peer.conn.sendText(new Uint8Array([0xc3, 0xa9]));
  const got = [];
  for (let i = 0; i < 5; i++) {
    const { opcode, payload } = (await peer.raw.frame())!;
    got.push([opcode, ...payload]);
  }
  assertEquals(got, [
    [1, 0x61, 0xef, 0xbf, 0xbd, 0x62],
    [2, 2, 0, 3, 0],
    [2, 8],
    [2, 0xc3, 0xa9],
    [1, 0xc3, 0xa9],
  ]);
});

Deno.test("anything but a string and bytes throws a TypeError that names it", async () => {
  await using peer = await rawPeer();
  const send = (data: unknown) => () => peer.conn.send(data as string);
  assertThrows(send(new Blob(["x"])), TypeError, "Blob");
  assertThrows(send(7), TypeError, "number");
  assertThrows(send(null), TypeError, "null");
  assertThrows(send(undefined), TypeError, "undefined");
  assertThrows(() => peer.conn.sendText(new Uint8Array([0xff])), TypeError, "UTF-8");
  assertEquals(peer.conn.queuedMessages, 0);
});

Deno.test("throw: a message beyond maxQueueBytes comes back in a QueueFullError, and nothing else is lost", async () => {
  await using peer = await rawPeer({ maxQueueBytes: 10 });
  const { conn } = peer;
  conn.send("12345678");
  for (const message of ["é1", new Uint8Array(3), "x".repeat(100_000), new ArrayBuffer(3)]) {
    const error = assertThrows(() => conn.send(message), QueueFullError, "8 of 10");
    assert(error.data === message);
  }
  assertEquals(conn.queuedBytes, 8);
  conn.send("é"); // exactly 10
  assertEquals([conn.queuedBytes, conn.queuedMessages], [10, 2]);
  assertThrows(() => conn.send("1"), QueueFullError);
  conn.send(""); // takes no room
  conn.close();
  await peer.raw.sendClose(1000);
  const texts = (await peer.raw.frames()).map(({ payload }) => new TextDecoder().decode(payload));
  assertEquals(texts.slice(0, 3), ["12345678", "é", ""]);
  assertEquals(conn.stats().dropped, 0);
});

Deno.test("throw: a refused message can be sent when the queue has drained", async () => {
  await using peer = await rawPeer({ maxQueueBytes: 4 });
  peer.conn.send("1234");
  const { data } = assertThrows(() => peer.conn.send("5678"), QueueFullError);
  await peer.conn.drained();
  peer.conn.send(data as string);
  await peer.raw.frame();
  assertEquals(new TextDecoder().decode((await peer.raw.frame())!.payload), "5678");
});

Deno.test("drop: a message beyond maxQueueBytes is dropped and counted, and send returns false", async () => {
  await using peer = await rawPeer({ maxQueueBytes: 4, queuePolicy: "drop" });
  const { conn } = peer;
  assert(conn.send("1234"));
  assert(!conn.send("5"));
  assert(!conn.send(new Uint8Array(1)));
  assertEquals([conn.queuedBytes, conn.queuedMessages], [4, 1]);
  assertEquals(conn.stats().dropped, 2);
  assertEquals(conn.stats().messagesSent, 1);
  await conn.drained();
  assert(conn.send("6"));
  await peer.raw.frame();
  assertEquals(new TextDecoder().decode((await peer.raw.frame())!.payload), "6");
});

Deno.test("close: an overflow discards the queue, says 1013, and reports", async () => {
  const errors: unknown[] = [];
  await using peer = await rawPeer({
    maxQueueBytes: 100,
    queuePolicy: "close",
    onError: (_, error) => errors.push(error),
  });
  const { conn, raw } = peer;
  conn.send(new Uint8Array(60));
  conn.send(new Uint8Array(40));
  const refused = new Uint8Array(1);
  assert(!conn.send(refused));
  assertEquals(conn.state, "closing");
  assertEquals(conn.queuedBytes, 0);
  assertInstanceOf(errors[0], QueueFullError);
  assert((errors[0] as QueueFullError).data === refused);
  const frame = (await raw.frame())!;
  assertEquals([frame.opcode, ...frame.payload], [8, 1013 >> 8, 1013 & 255]);
  await raw.sendClose(1013);
  const record = await conn.closed;
  assertEquals(record.wasClean, true);
  assertEquals([record.unsentMessages, record.unsentBytes], [2, 100]);
  assert(record.cause === errors[0]);
  assertEquals(errors.length, 1);
});

Deno.test("close: a peer that never reads is terminated at closeTimeout, and nothing is counted twice", async () => {
  await using peer = await rawPeer({ queuePolicy: "close", closeTimeout: 50 });
  const { conn } = peer;
  let accepted = 0;
  while (conn.state === "open") {
    conn.send(numbered(accepted, 64 * KIB));
    if (conn.state === "open") accepted++;
  }
  assertEquals(accepted, 256); // 16 MiB
  const record = await conn.closed;
  assertEquals(record.code, 1006);
  assert(record.unsentMessages <= 256 && record.unsentBytes <= 16 * MIB, String(record));
  assertEquals(record.unsentBytes, record.unsentMessages * 64 * KIB);
});

for (const inside of ["send", "close", "terminate"] as const) {
  Deno.test(`close: ${inside} inside the onError of an overflow does no harm`, async () => {
    const errors: unknown[] = [];
    await using peer = await rawPeer({
      maxQueueBytes: 1,
      queuePolicy: "close",
      onError(conn, error) {
        errors.push(error);
        if (inside === "send") conn.send("beyond");
        else conn[inside]();
      },
    });
    peer.conn.send("1");
    peer.conn.send("2");
    if (inside !== "terminate") {
      assertEquals([...(await peer.raw.next(8)).payload], [1013 >> 8, 1013 & 255]);
      await peer.raw.sendClose(1013);
    }
    const record = await peer.conn.closed;
    assertEquals(record.wasClean, inside !== "terminate");
    assertEquals(peer.conn.state, "closed");
    assertInstanceOf(errors[0], QueueFullError);
    // The send inside fails: its error is the callback's own, and goes nowhere but the console.
    assertEquals(errors.length, 1);
  });
}

Deno.test("maxQueueBytes 0 sets no limit", async () => {
  await using peer = await rawPeer({ maxQueueBytes: 0 });
  for (let i = 0; i < 40; i++) peer.conn.send(new Uint8Array(1 * MIB));
  assertEquals(peer.conn.queuedBytes, 40 * MIB);
});

Deno.test("send on a connection that isn't open throws, with the message", async () => {
  await using both = await pair();
  const { client } = both;
  const refused = (conn: Connection, state: string, record?: unknown) => {
    const message = new Uint8Array(1);
    const error = assertThrows(() => conn.send(message), ConnectionClosedError, state);
    assert(error.data === message);
    assert(error.close === record);
  };
  const early = both.ctx.connect("ws://127.0.0.1:1/");
  refused(early, "connecting");
  client.close();
  refused(client, "closing");
  refused(client, "closed", await client.closed);
  await early.closed;
});

Deno.test("(a) a peer that never reads costs no more memory than the queue's limit and 16 MiB", async () => {
  for (const policy of ["throw", "drop", "close"]) {
    const { code, stdout, stderr } = await run(
      new URL("programs/stalled_peer.ts", import.meta.url),
      policy,
    );
    assertEquals(code, 0, stderr);
    const { falseAt, growth, outcome } = JSON.parse(stdout);
    assertEquals(falseAt, 65 * KIB);
    assertEquals(outcome, policy);
    assert(growth <= 32 * MIB, `${policy}: grew by ${growth}`);
  }
});
