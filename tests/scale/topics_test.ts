import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Connection, ConnectionClosedError, Context } from "../../mod.ts";
import { clog, Room, take } from "./_room.ts";

const counts = ({ sent, queued, dropped, closed, failed }: Record<string, unknown>) => [
  sent,
  queued,
  dropped,
  closed,
  failed,
];

Deno.test("publish reaches all subscribers; that of a connection doesn't reach itself", async () => {
  await using room = new Room();
  const [a, b, c] = [await room.join(), await room.join(), await room.join()];
  const [sa, sb, sc] = room.members;
  assertEquals([sa.subscribe("x"), sa.subscribe("x"), sb.subscribe("x"), sc.subscribe("y")], [
    true,
    false,
    true,
    true,
  ]);
  assertEquals(counts({ ...room.server.publish("x", "1") }), [2, 0, 0, 0, 0]);
  assertEquals(counts({ ...sa.publish("x", "2") }), [1, 0, 0, 0, 0]);
  assertEquals(counts({ ...sc.publish("x", "3") }), [2, 0, 0, 0, 0]);
  assertEquals(counts({ ...room.server.publish("y", "4", { except: sa }) }), [1, 0, 0, 0, 0]);
  assertEquals(counts({ ...room.server.publish("x", "5", { except: [sa] }) }), [1, 0, 0, 0, 0]);
  assertEquals(counts({ ...room.server.publish("nobody's", "6") }), [0, 0, 0, 0, 0]);
  assertEquals(await take(a, 2), ["1", "3"]);
  assertEquals(await take(b, 4), ["1", "2", "3", "5"]);
  assertEquals(await take(c, 1), ["4"]);
});

Deno.test("a connection that unsubscribes after a publication still gets it, and no later ones", async () => {
  await using room = new Room();
  const client = await room.join();
  const [member] = room.members;
  member.subscribe("x");
  room.server.publish("x", "before");
  assertEquals([member.unsubscribe("x"), member.unsubscribe("x")], [true, false]);
  assertEquals(room.server.publish("x", "after").sent, 0);
  member.send("end");
  assertEquals(await take(client, 2), ["before", "end"]);
});

Deno.test("subscriptions end with the connection; a closed connection may still publish", async () => {
  await using room = new Room();
  const [a, b] = [await room.join(), await room.join()];
  const [sa, sb] = room.members;
  sa.subscribe("x");
  sb.subscribe("x");
  a.close();
  await sa.closed;
  assertEquals(counts({ ...room.server.publish("x", "1") }), [1, 0, 0, 0, 0]);
  assertEquals(sa.publish("x", "left").sent, 1);
  assertThrows(() => sa.subscribe("x"), ConnectionClosedError);
  assertEquals(sa.unsubscribe("x"), false);
  assertEquals(await take(b, 2), ["1", "left"]);
});

Deno.test("the order of a publisher is kept across topics, and messages of one turn are sent in one write", async () => {
  await using room = new Room();
  const client = await room.join();
  const [member] = room.members;
  const expected = [];
  for (const topic of ["x", "y"]) member.subscribe(topic);
  for (let i = 0; i < 500; i++) {
    room.server.publish(i % 3 === 0 ? "x" : "y", `${i}`);
    if (i % 2 === 0) room.server.publish("other", `${i}`);
    expected.push(`${i}`);
  }
  assertEquals(await take(client, 500), expected);
});

Deno.test("the option slow of a publication skips or closes slow subscribers", async () => {
  await using room = new Room({ highWaterMark: 1000 });
  const fast = await room.join(), slow = await room.join();
  for (const member of room.members) member.subscribe("x");
  slow.pause();
  await clog(room.members[1], 1001);
  assertEquals(counts({ ...room.server.publish("x", "1", { slow: "drop" }) }), [1, 0, 1, 0, 0]);
  assertEquals(counts({ ...room.server.publish("x", "2", { slow: "close" }) }), [1, 0, 0, 1, 0]);
  assertEquals(await take(fast, 2), ["1", "2"]);
  room.members[1].terminate();
});

Deno.test("names of topics have 1 to 256 bytes of well-formed text", async () => {
  await using room = new Room();
  await room.join();
  const [member] = room.members;
  const calls: ((topic: string) => unknown)[] = [
    (topic) => member.subscribe(topic),
    (topic) => member.unsubscribe(topic),
    (topic) => member.publish(topic, "x"),
    (topic) => room.server.publish(topic, "x"),
  ];
  for (const call of calls) {
    call("a".repeat(256));
    call("€".repeat(85));
    assertThrows(() => call(""), RangeError, "without a name");
    assertThrows(() => call("a".repeat(257)), RangeError, "256 bytes");
    assertThrows(() => call("€".repeat(86)), RangeError, "256 bytes");
    assertThrows(() => call("\ud800"), TypeError, "surrogate");
    for (const bad of [undefined, null, 1, {}, Symbol("x"), ["x"]]) {
      assertThrows(() => call(bad as string), TypeError, "not a string");
    }
  }
});

Deno.test("publish refuses invalid data and options, even without subscribers", async () => {
  await using ctx = new Context();
  assertThrows(() => ctx.publish("x", 1 as unknown as string), TypeError, "Cannot send");
  assertThrows(
    () => ctx.publish("x", "", { slow: "no" as "drop" }),
    TypeError,
    'slow "no" (a string)',
  );
});

Deno.test("without a broker ready and relayed are resolved", async () => {
  await using ctx = new Context();
  await ctx.ready;
  await ctx.publish("x", "1").relayed;
});

Deno.test("a callback may publish, subscribe and unsubscribe during a publication", async () => {
  await using room = new Room({
    maxQueueBytes: 1,
    whenQueueFull: "close",
    onError: (conn: Connection) => {
      conn.unsubscribe("x");
      room.members[1].subscribe("y");
      room.server.publish("y", "!");
    },
  });
  const clients = [await room.join(), await room.join()];
  room.members[0].subscribe("x");
  assertEquals(room.server.publish("x", "too long").closed, 1);
  assertEquals(await take(clients[1], 1), ["!"]);
  clients[0].on({ onMessage: () => assert(false) });
  await room.members[0].closed;
});
