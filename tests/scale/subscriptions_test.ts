import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { Notes } from "./_notes.ts";
import { Room, take } from "./_room.ts";
import { turn } from "../support/until.ts";

Deno.test("conn.topics is a live view of the subscriptions, also in onClose", async () => {
  const atEnd = Promise.withResolvers<string[]>();
  await using room = new Room({ onClose: (conn) => atEnd.resolve([...conn.topics]) });
  const client = await room.join();
  const [member] = room.members;
  const { topics } = member;
  assertEquals([topics.size, topics.has("x"), [...topics]], [0, false, []]);
  for (const topic of ["x", "y", "z"]) member.subscribe(topic);
  member.unsubscribe("y");
  assertEquals([topics.size, topics.has("x"), topics.has("y"), [...topics]], [
    2,
    true,
    false,
    ["x", "z"],
  ]);
  assertEquals([...new Set(["a", "x"]).union(topics)], ["a", "x", "z"]);
  member.unsubscribe("x");
  member.unsubscribe("z");
  assertEquals([topics.size, [...topics]], [0, []]);
  for (const topic of ["b", "a"]) member.subscribe(topic);
  client.close();
  assertEquals(await atEnd.promise, ["b", "a"]);
  await member.closed;
  // The connection isn't a member any more, so it can't unsubscribe.
  assertEquals([...member.topics], ["b", "a"]);
  assertEquals(member.unsubscribe("a"), false);
  assertEquals([room.server.subscribers("a").size, room.server.subscribers("a").has(member)], [
    0,
    false,
  ]);
  assertEquals(room.server.publish("a", "1").failed, 0);
});

Deno.test("unsubscribing in a loop over conn.topics ends all subscriptions", async () => {
  await using room = new Room();
  await room.join();
  const [member] = room.members;
  for (let i = 0; i < 100; i++) member.subscribe(`${i}`);
  for (const topic of member.topics) member.unsubscribe(topic);
  assertEquals(member.topics.size, 0);
});

Deno.test("ctx.subscribers is a live view, also of a topic without subscribers", async () => {
  await using room = new Room();
  const view = room.server.subscribers("x");
  assertEquals([view.size, [...view]], [0, []]);
  const clients = [await room.join(), await room.join(), await room.join()];
  const [a, b, c] = room.members;
  assertEquals(view.has(a), false);
  for (const member of [b, a, c]) member.subscribe("x");
  assertEquals([view.size, view.has(a), [...view]], [3, true, [b, a, c]]);
  // The view also shows a later topic with the same name.
  for (const member of [a, b, c]) member.unsubscribe("x");
  assertEquals([view.size, view.has(a), [...view]], [0, false, []]);
  a.subscribe("x");
  b.subscribe("x");
  assertEquals([view.size, [...view]], [2, [a, b]]);
  // A member that leaves during an iteration isn't visited, and an iteration that stops early has no after-effects.
  const visited: Connection[] = [];
  for (const conn of view) {
    visited.push(conn);
    b.unsubscribe("x");
    c.subscribe("x");
  }
  assertEquals([visited, [...view]], [[a], [a, c]]);
  for (const _ of view) break;
  view[Symbol.iterator]().next();
  const result = room.server.broadcast("to them", { to: view });
  assertEquals(result.sent, 2);
  assertEquals(await take(clients[2], 1), ["to them"]);
  await using other = new Context();
  const stranger = other.connect(room.url);
  for (const no of [stranger, null, undefined, 1, {}]) {
    assertEquals(view.has(no as Connection), false);
  }
  clients[0].terminate();
  await a.closed;
  assertEquals([view.size, [...view]], [1, [c]]);
  assertThrows(() => room.server.subscribers(""), RangeError, "without a name");
  assertThrows(() => room.server.subscribers(1 as unknown as string), TypeError, "not a string");
  stranger.terminate();
});

Deno.test("maxTopics: the default is 1,000, listeners have the option, and 0 means no limit", async () => {
  for (const maxTopics of [undefined, 3, 0]) {
    await using room = new Room({ maxTopics });
    const client = await room.join();
    const [member] = room.members;
    const most = maxTopics ?? 1000;
    for (let i = 0; i < (most || 2000); i++) member.subscribe(`${i}`);
    if (most > 0) {
      const words = `Cannot subscribe to more than ${most} topics: see maxTopics`;
      assertThrows(() => member.subscribe("one more"), RangeError, words);
      // Subscribing to the same topic again doesn't count, and unsubscribing makes room.
      assertEquals(member.subscribe("0"), false);
      member.unsubscribe("0");
      assertEquals(member.subscribe("one more"), true);
      assertThrows(() => member.subscribe("0"), RangeError, words);
      assertEquals(room.server.subscribers("0").size, 0);
    }
    // Clients have the default.
    client.subscribe("x");
  }
  await using ctx = new Context();
  assertThrows(() => ctx.listen({ maxTopics: -1 }), RangeError, "maxTopics");
  assertThrows(() => ctx.listen({ maxTopics: "1" as unknown as number }), TypeError, "maxTopics");
});

type Note = [topic: string, count: number, previous: number, id: number];

Deno.test("onSubscription is called for each change with the counts, and after onClose once per topic", async () => {
  const notes = new Notes<Note | string>();
  const ids = new Map<Connection, number>();
  const server = new Context({
    onSubscription: (conn, topic, count, previous) =>
      notes.add([topic, count, previous, ids.get(conn)!]),
  });
  await using room = new Room({ onClose: (conn) => notes.add(`closed ${ids.get(conn)}`) }, server);
  const clients = [await room.join(), await room.join()];
  const [a, b] = room.members;
  ids.set(a, 1).set(b, 2);
  a.subscribe("x");
  b.subscribe("x");
  b.subscribe("x");
  b.subscribe("y");
  b.unsubscribe("z");
  a.unsubscribe("x");
  a.subscribe("x");
  const expected: (Note | string)[] = [
    ["x", 1, 0, 1],
    ["x", 2, 1, 2],
    ["y", 1, 0, 2],
    ["x", 1, 2, 1],
    ["x", 2, 1, 1],
  ];
  // Each call has come at once, within the call that has caused it.
  assertEquals(notes.all, expected);
  clients[1].close();
  expected.push("closed 2", ["x", 1, 2, 2], ["y", 0, 1, 2]);
  assertEquals(await notes.count(expected.length), expected);
  // A client connection of the context counts, too.
  const own = server.connect(room.url);
  await own.opened;
  ids.set(own, 3);
  own.subscribe("x");
  expected.push(["x", 2, 1, 3]);
  own.terminate();
  await own.closed;
  expected.push(["x", 1, 2, 3]);
  assertEquals(notes.all.filter((note) => note !== "closed 3"), expected);
});

Deno.test("onSubscription: that of a listener replaces that of the context, also by on()", async () => {
  const told: string[] = [];
  const context = new Context({ onSubscription: () => told.push("context") });
  await using room = new Room(
    { onSubscription: () => told.push("listener") },
    context,
  );
  await room.join();
  const [member] = room.members;
  member.subscribe("x");
  room.listener.on({ onSubscription: () => told.push("on") });
  member.subscribe("y");
  await using plain = new Room({}, context);
  await plain.join();
  plain.members[0].subscribe("x");
  assertEquals(told, ["listener", "on", "context"]);
  for (
    const make of [
      () => new Context({ onSubscription: 1 as unknown as () => void }),
      () => context.listen({ onSubscription: 1 as unknown as () => void }),
    ]
  ) assertThrows(make, TypeError, "onSubscription");
});

Deno.test("onSubscription may throw, reject and change subscriptions", async () => {
  const errors: unknown[] = [], seen: string[] = [];
  let way: (conn: Connection, topic: string) => unknown = () => {};
  const server: Context = new Context({
    onSubscription: (conn, topic, count, previous) => {
      seen.push(`${topic} ${previous}>${count}`);
      return way(conn, topic);
    },
  });
  await using room = new Room({ onError: (_, error) => errors.push(error) }, server);
  const client = await room.join();
  const [member] = room.members;
  way = () => {
    throw new Error("thrown");
  };
  assertEquals(member.subscribe("a"), true);
  way = () => Promise.reject(new Error("rejected"));
  assertEquals(member.unsubscribe("a"), true);
  await turn();
  assertEquals(errors.map((error) => (error as Error).message), ["thrown", "rejected"]);
  seen.length = 0;
  // Each topic is unsubscribed at once.
  way = (conn, topic) => conn.topics.has(topic) && conn.unsubscribe(topic);
  assertEquals(member.subscribe("b"), true);
  assertEquals(member.topics.size, 0);
  assertEquals(seen, ["b 0>1", "b 1>0"]);
  // A shutdown in a callback about the end of a connection.
  way = () => server.shutdown();
  client.close();
  await member.closed;
});

Deno.test("members may leave and join during a publication", async () => {
  let during = () => {};
  await using room = new Room({
    maxQueueBytes: 100,
    whenQueueFull: "close",
    onError: () => during(),
  });
  for (let i = 0; i < 6; i++) await room.join();
  const [a, b, c, d, e, f] = room.members;
  for (const member of [a, b, c, d, e]) member.subscribe("x");
  const view = room.server.subscribers("x");
  // The member in the middle is too slow. While it is closed, the member and its neighbours leave and join again, and there is
  // another publication.
  const payload = "p".repeat(60);
  c.send(payload);
  during = () => {
    during = () => {};
    for (const member of [b, d, e]) member.unsubscribe("x");
    e.subscribe("x");
    f.subscribe("x");
    assertEquals([...view], [a, c, e, f]);
    assertEquals(room.server.publish("x", "within").sent, 3);
    f.unsubscribe("x");
    f.subscribe("x");
  };
  const result = room.server.publish("x", payload);
  // a and b got it before that; d and e had left, and e has joined again.
  assertEquals([result.sent, result.closed], [2, 1]);
  assertEquals([...view], [a, c, e, f]);
  for (const member of [a, e, f]) member.unsubscribe("x");
  c.terminate();
  await c.closed;
  assertEquals([view.size, [...view]], [0, []]);
  a.subscribe("x");
  assertEquals([...view], [a]);
});

Deno.test("random subscriptions and unsubscriptions agree with a model", async () => {
  await using room = new Room({ maxTopics: 0 });
  for (let i = 0; i < 12; i++) await room.join();
  const model = new Map<string, Connection[]>();
  let seed = 42;
  const random = (n: number) => (seed = (seed * 48271) % 0x7fffffff) % n;
  for (let i = 0; i < 5000; i++) {
    const member = room.members[random(12)], topic = `${random(5)}`;
    const members = model.get(topic) ?? [];
    model.set(topic, members);
    const at = members.indexOf(member);
    if (random(2) === 0) {
      assertEquals(member.subscribe(topic), at < 0);
      if (at < 0) members.push(member);
    } else {
      assertEquals(member.unsubscribe(topic), at >= 0);
      if (at >= 0) members.splice(at, 1);
    }
    const view = room.server.subscribers(topic);
    assert(view.size === members.length && [...view].every((conn, at) => conn === members[at]));
    assertEquals(member.topics.has(topic), members.includes(member));
  }
});
