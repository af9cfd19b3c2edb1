import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { BrokerError, type BrokerGap, Context, QueueFullError } from "../../mod.ts";
import { RedisBroker, type RedisBrokerOptions } from "../../redis.ts";
import { Notes } from "./_notes.ts";
import { Redis, redisTest } from "./_redis.ts";
import { Room, take } from "./_room.ts";

interface Side extends AsyncDisposable {
  room: Room;
  gaps: Notes<BrokerGap>;
  errors: Notes<unknown>;
}

function side(options: RedisBrokerOptions): Side {
  const gaps = new Notes<BrokerGap>(), errors = new Notes<unknown>();
  const server = new Context({
    broker: new RedisBroker(options),
    onBrokerGap: (gap) => gaps.add(gap),
    onBrokerError: (error) => errors.add(error),
  });
  const room = new Room({}, server);
  return { room, gaps, errors, [Symbol.asyncDispose]: () => room[Symbol.asyncDispose]() };
}

async function command(redis: Redis, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command("redis-cli", { args: ["-p", `${redis.port}`, ...args] })
    .output();
  return new TextDecoder().decode(stdout).trim();
}

redisTest(
  "text and binary publications reach other contexts through Redis once and in order",
  async () => {
    await using redis = await Redis.start();
    await using a = side({ url: redis.url });
    await using b = side({ url: redis.url });
    const [near, far] = [await a.room.join(), await b.room.join()];
    for (const { room } of [a, b]) room.members[0].subscribe("x");
    await Promise.all([a.room.server.ready, b.room.server.ready]);
    const expected = [];
    for (let i = 0; i < 200; i++) {
      const data = i % 3 === 0 ? new Uint8Array([i]) : `${i}`;
      assertEquals(a.room.server.publish("x", data).sent, 1);
      expected.push(data);
    }
    assertEquals(await take(near, 200), expected);
    assertEquals(await take(far, 200), expected);
    b.room.server.publish("x", "back");
    assertEquals(await take(near, 1), ["back"]);
    assertEquals(await take(far, 1), ["back"]);
  },
);

redisTest("a topic is subscribed at Redis only while a connection is subscribed", async () => {
  await using redis = await Redis.start();
  await using a = side({ url: redis.url, prefix: "test:" });
  await a.room.join();
  await a.room.join();
  const [first, second] = a.room.members;
  const channels = () => command(redis, "PUBSUB", "CHANNELS");
  first.subscribe("x");
  second.subscribe("x");
  await a.room.server.ready;
  assertEquals(await channels(), "test:x");
  first.unsubscribe("x");
  second.subscribe("y");
  await a.room.server.ready;
  assertEquals((await channels()).split("\n").sort(), ["test:x", "test:y"]);
  second.unsubscribe("x");
  first.subscribe("z");
  await a.room.server.ready;
  // When later subscriptions are active at Redis, earlier unsubscriptions are done.
  assertEquals((await channels()).split("\n").sort(), ["test:y", "test:z"]);
  // After a series of changes the last one counts.
  for (let i = 0; i < 5; i++) {
    first.unsubscribe("z");
    first.subscribe("z");
  }
  await a.room.server.ready;
  assertEquals((await channels()).split("\n").sort(), ["test:y", "test:z"]);
});

redisTest(
  "delivery resumes after a restart of Redis, and the gap is reported",
  async () => {
    await using redis = await Redis.start();
    await using a = side({ url: redis.url });
    await using b = side({ url: redis.url });
    const far = await b.room.join();
    b.room.members[0].subscribe("x");
    await Promise.all([a.room.server.ready, b.room.server.ready]);
    await a.room.server.publish("x", "before").relayed;
    assertEquals(await take(far, 1), ["before"]);
    await redis.kill();
    await Promise.all([a.errors.count(1), b.errors.count(1)]);
    assert(a.errors.all[0] instanceof BrokerError);
    const waiting = a.room.server.publish("x", "meanwhile");
    b.room.members[0].subscribe("y");
    await redis.restart();
    const [gap] = await b.gaps.count(1);
    assertEquals([gap.topics, gap.unsent], [["x", "y"], 0]);
    assert(gap.since <= gap.until && gap.cause instanceof Error);
    await waiting.relayed;
    await a.gaps.count(1);
    a.room.server.publish("y", "after");
    // Queued publications may have been sent before the other context was connected again.
    const next = await far.receive();
    assertEquals(next === "meanwhile" ? await far.receive() : next, "after");
  },
);

redisTest(
  "publications without Redis are queued up to a limit; further ones are refused and counted",
  async () => {
    await using redis = await Redis.start();
    await using a = side({ url: redis.url, maxPendingBytes: 10_000 });
    const { server } = a.room;
    await server.ready;
    await redis.kill();
    await a.errors.count(1);
    const results = Array.from({ length: 30 }, () => server.publish("x", new Uint8Array(900)));
    const refused = await Promise.all(
      results.slice(9).map(({ relayed }) => assertRejects(() => relayed, QueueFullError)),
    );
    assertEquals(refused.length, 21);
    await redis.restart();
    await Promise.all(results.slice(0, 9).map(({ relayed }) => relayed));
    assertEquals((await a.gaps.count(1))[0].unsent, 21);
    await server.publish("x", "again").relayed;
  },
);

redisTest(
  "a refused password fails ready and the first publication, with the error of Redis",
  async () => {
    await using redis = await Redis.start("--requirepass", "secret");
    for (const url of [redis.url, `redis://:wrong@127.0.0.1:${redis.port}`]) {
      const words = url === redis.url ? /NOAUTH/ : /WRONGPASS/;
      await using a = side({ url });
      const { relayed } = a.room.server.publish("x", "1");
      for (const promise of [relayed, a.room.server.ready]) {
        const error = await assertRejects(() => promise, BrokerError);
        assert(words.test(error.message), error.message);
      }
      const error = assertThrows(() => a.room.server.publish("x", "2"), BrokerError);
      assert(words.test(error.message), error.message);
    }
    await using a = side({ url: redis.url, password: "secret" });
    await a.room.server.ready;
  },
);

redisTest("a context continues if ready isn't awaited after a refusal", async () => {
  await using redis = await Redis.start("--requirepass", "secret");
  await using a = side({ url: redis.url });
  const client = await a.room.join();
  a.room.members[0].subscribe("x");
  await assertRejects(() => a.room.server.ready, BrokerError);
  a.room.server.broadcast("still here");
  assertEquals(await take(client, 1), ["still here"]);
});

redisTest("the broker waits for an unreachable Redis; shutdown doesn't wait", async () => {
  const redis = await Redis.start();
  await using _ = redis;
  await redis.kill();
  await using a = side({ url: redis.url });
  await using b = side({ url: redis.url });
  await Promise.all([a.errors.count(1), b.errors.count(1)]);
  await b.room.join();
  b.room.members[0].subscribe("x");
  await b.room.server.shutdown();
  assertEquals(b.errors.all.length, 1);
  const { relayed } = a.room.server.publish("x", "early");
  await redis.restart();
  await a.room.server.ready;
  await relayed;
});

redisTest("shutdown sends earlier publications", async () => {
  await using redis = await Redis.start();
  await using b = side({ url: redis.url });
  const far = await b.room.join();
  b.room.members[0].subscribe("x");
  await b.room.server.ready;
  const a = new Context({ broker: new RedisBroker({ url: redis.url }) });
  await a.ready;
  for (let i = 0; i < 50; i++) a.publish("x", `${i}`);
  await a.shutdown();
  assertEquals(await take(far, 50), Array.from({ length: 50 }, (_, i) => `${i}`));
});

Deno.test("a Redis broker serves one context, at one address", async () => {
  assertThrows(() => new RedisBroker({ url: "redis://x", cluster: ["redis://y"] }), TypeError);
  assertThrows(() => new RedisBroker({ cluster: [] }), TypeError);
  const broker = new RedisBroker({ url: "redis://127.0.0.1:1" });
  const link = { deliver: () => {}, gap: () => {}, error: () => {} };
  const started = broker.start(link);
  await assertRejects(() => broker.start(link), TypeError, "twice");
  const rejected = assertRejects(() => started, BrokerError, "shut down");
  await broker.close();
  await rejected;
  const message = { text: true, payload: new Uint8Array(0), slow: "queue" } as const;
  await assertRejects(() => broker.publish("x", message), BrokerError, "shut down");
  await assertRejects(() => broker.subscribe("x"), BrokerError, "shut down");
});
