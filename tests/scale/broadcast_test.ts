import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  ConnectionClosedError,
  Context,
  InvalidStateError,
  type Message,
  PreparedMessage,
  QueueFullError,
} from "../../mod.ts";
import { clog, Room, take } from "./_room.ts";

const NOBODY = { sent: 0, queued: 0, dropped: 0, closed: 0, failed: 0 };

Deno.test("broadcast reaches every server-side connection, and no client of the context", async () => {
  const heard: unknown[] = [];
  await using room = new Room({ onMessage: (_, data) => heard.push(data) });
  const clients = [await room.join(), await room.join()];
  const own = room.server.connect(room.url);
  await own.opened;
  assertEquals(room.server.broadcast("all", { to: room.members }), { ...NOBODY, sent: 2 });
  assertEquals(await take(clients[0], 1), ["all"]);
  assertEquals(await take(clients[1], 1), ["all"]);
  assertEquals(room.server.broadcast("all").sent, 3);
  assertEquals(await take(own, 1), ["all"]);
  // If the broadcast had reached the client, it would have come before this message.
  own.send("end");
  own.close();
  await own.closed;
  assertEquals(heard, ["end"]);
});

Deno.test("to and except select receivers, each of which counts once", async () => {
  await using room = new Room();
  const clients = [await room.join(), await room.join(), await room.join()];
  const [a, b, c] = room.members;
  assertEquals(room.server.broadcast("1", { to: [a, a, b], except: b }), { ...NOBODY, sent: 1 });
  assertEquals(room.server.broadcast("2", { except: [a, c] }), { ...NOBODY, sent: 1 });
  assertEquals(room.server.broadcast("3", { to: new Set([c]) }), { ...NOBODY, sent: 1 });
  assertEquals(room.server.broadcast("4", { to: [] }), NOBODY);
  assertEquals(await take(clients[0], 1), ["1"]);
  assertEquals(await take(clients[1], 1), ["2"]);
  assertEquals(await take(clients[2], 1), ["3"]);
});

Deno.test("listener.broadcast reaches that listener's connections", async () => {
  await using room = new Room();
  const client = await room.join();
  const other = room.server.listen({ port: 0, onMessage: () => {} });
  const stranger = room.clients.connect(other.url, { onMessage: () => assert(false) });
  await stranger.opened;
  assertEquals(room.members[0].listener!.broadcast("here"), { ...NOBODY, sent: 1 });
  assertEquals(await take(client, 1), ["here"]);
});

Deno.test("shared and private messages of one turn arrive complete and in order", async () => {
  await using room = new Room();
  const clients = [await room.join(), await room.join(), await room.join()];
  const expected: string[][] = [[], [], []];
  const lengths = [0, 1, 125, 126, 300, 4000, 8190, 8200, 30_000, 65_535, 65_536, 200_000];
  const received: unknown[][] = [[], [], []];
  clients.forEach((client, k) => client.on({ onMessage: (_, data) => received[k].push(data) }));
  const prepared = room.server.prepare("prepared");
  for (let i = 0; i < 200; i++) {
    const text = `${i}`.padEnd(lengths[i % lengths.length], "x");
    // Each client skips some messages and gets private ones, so that writes of shared bytes begin and end everywhere.
    const skip = i % 7 < 3 ? i % 7 : -1;
    room.server.broadcast(text, skip < 0 ? {} : { except: room.members[skip] });
    expected.forEach((list, k) => k === skip || list.push(text));
    if (i % 5 === 0) {
      room.members[i % 3].send(`private ${i}`);
      expected[i % 3].push(`private ${i}`);
    }
    if (i % 11 === 0) {
      room.server.broadcast(prepared);
      expected.forEach((list) => list.push("prepared"));
    }
    if (i % 50 === 49) await room.members[1].drained();
  }
  for (const member of room.members) {
    await member.drained();
    assertEquals([member.queuedBytes, member.queuedMessages], [0, 0]);
    member.close();
  }
  await Promise.all(clients.map((client) => client.closed));
  assertEquals(received, expected);
});

Deno.test("a prepared message is a snapshot that both roles can send any number of times", async () => {
  await using room = new Room();
  const client = await room.join();
  const [member] = room.members;
  const bytes = new Uint8Array([1, 2, 3]);
  const binary = room.server.prepare(bytes), text = room.server.prepare("grüße");
  bytes.fill(9);
  assert(binary instanceof PreparedMessage);
  assertEquals([binary.type, binary.byteLength, text.type, text.byteLength], [
    "binary",
    3,
    "text",
    7,
  ]);
  assertEquals([member.send(binary), member.send(text), member.send(binary)], [true, true, true]);
  assertEquals(await take(client, 3), [
    new Uint8Array([1, 2, 3]),
    "grüße",
    new Uint8Array([1, 2, 3]),
  ]);
  const received: unknown[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  member.on({ onMessage: (_, data) => received.push(data) === 3 && resolve() });
  client.send(text);
  client.send(binary);
  client.send(text);
  await promise;
  assertEquals(received, ["grüße", new Uint8Array([1, 2, 3]), "grüße"]);
});

Deno.test("a client's masking doesn't change the shared bytes", async () => {
  await using room = new Room({ onMessage: (conn, data) => conn.send(data) });
  const client = await room.join();
  for (const size of [10, 10_000, 100_000]) {
    const message = room.server.prepare(new Uint8Array(size).fill(7));
    client.send(message);
    assertEquals(await take(client, 1), [new Uint8Array(size).fill(7)]);
    room.members[0].send(message);
    assertEquals(await take(client, 1), [new Uint8Array(size).fill(7)]);
  }
});

Deno.test("the option slow decides whether messages to slow receivers are queued or dropped, or receivers closed", async () => {
  await using room = new Room({ highWaterMark: 1000, maxQueueBytes: 0 });
  const fast = await room.join(), slow = await room.join();
  const [, behind] = room.members;
  slow.pause();
  await clog(behind, 1001);
  const { server } = room;
  assertEquals(server.broadcast("a"), { ...NOBODY, sent: 1, queued: 1 });
  assertEquals(server.broadcast("b", { slow: "drop" }), { ...NOBODY, sent: 1, dropped: 1 });
  assertEquals(behind.stats().dropped, 1);
  assertEquals(server.broadcast("c", { slow: "close" }), { ...NOBODY, sent: 1, closed: 1 });
  assertEquals(behind.state, "closing");
  assertEquals(server.broadcast("d"), { ...NOBODY, sent: 1, failed: 1 });
  assertEquals(await take(fast, 4), ["a", "b", "c", "d"]);
  slow.on({ onMessage: () => {} });
  slow.resume();
  assertEquals((await behind.closed).sent?.code, 1013);
  assert((await behind.closed).cause instanceof QueueFullError);
});

Deno.test("the policy of a full queue applies to broadcasts", async () => {
  for (const policy of ["throw", "drop", "close"] as const) {
    await using room = new Room({ maxQueueBytes: 100, whenQueueFull: policy });
    await room.join();
    const count = policy === "throw" ? "failed" : policy === "drop" ? "dropped" : "closed";
    assertEquals(room.server.broadcast(new Uint8Array(101)), { ...NOBODY, [count]: 1 });
    assertEquals(room.members[0].state, policy === "close" ? "closing" : "open");
  }
});

Deno.test("send refuses a prepared message like others, and the error contains it", async () => {
  await using room = new Room({ maxQueueBytes: 100 });
  const client = await room.join();
  const [member] = room.members;
  const message = room.server.prepare(new Uint8Array(101));
  assertEquals(assertThrows(() => member.send(message), QueueFullError).data, message);
  member.sendFragment("x");
  assertThrows(() => member.send(room.server.prepare("y")), InvalidStateError);
  client.terminate();
  await member.closed;
  const error = assertThrows(() => member.send(message), ConnectionClosedError);
  assertEquals(error.data, message);
});

Deno.test("broadcasts wait for the end of a fragmented message, and count as queued", async () => {
  await using room = new Room();
  const client = await room.join();
  const [member] = room.members;
  member.sendFragment("be");
  await member.drained();
  assertEquals(room.server.broadcast("one").sent, 1);
  assertEquals(room.server.broadcast("two").sent, 1);
  assertEquals([member.queuedBytes, member.queuedMessages], [6, 2]);
  member.sendFragment("gun", { final: true });
  member.send("three");
  assertEquals(await take(client, 4), ["begun", "one", "two", "three"]);
  await member.drained();
  assertEquals([member.queuedBytes, member.queuedMessages], [0, 0]);
});

Deno.test("broadcasts that wait for a message that is never finished are reported as unsent", async () => {
  await using room = new Room();
  const client = await room.join();
  const [member] = room.members;
  member.sendFragment("be");
  await member.drained();
  room.server.broadcast("never");
  const rejected = assertRejects(() => member.drained(), ConnectionClosedError);
  member.close();
  client.on({ onMessage: () => assert(false) });
  const { unsentMessages, unsentBytes } = await member.closed;
  assertEquals([unsentMessages, unsentBytes, member.queuedBytes], [1, 5, 0]);
  await rejected;
});

Deno.test("prepare and broadcast refuse invalid messages and options", async () => {
  await using ctx = new Context();
  for (const bad of [null, undefined, 1, {}, new Blob()]) {
    assertThrows(() => ctx.prepare(bad as Message), TypeError, "Cannot send");
    assertThrows(() => ctx.broadcast(bad as Message), TypeError, "Cannot send");
  }
  assertThrows(() => ctx.broadcast("x", { slow: "wait" as "drop" }), TypeError, "wait");
});
