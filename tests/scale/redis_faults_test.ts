import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { BrokerError, type BrokerGap, Context, TimeoutError } from "../../mod.ts";
import { RedisBroker, type RedisBrokerOptions } from "../../redis.ts";
import { type Answer, FakeRedis, usual } from "./_fake_redis.ts";
import { Notes } from "./_notes.ts";
import { Room, take } from "./_room.ts";
import { turn } from "../support/until.ts";
import { TimeShift } from "../support/virtual_clock.ts";
import { mayFail, readToEnd } from "../support/failure.ts";

// In addition to the assertions, sockets and timers that are left open fail a test.

/** Stages of connecting at which Redis stops answering. */
const STAGES: Record<string, (name: string) => Answer> = {
  "accepts and answers nothing": () => null,
  "answers the handshake but no subscription": (name) =>
    /^S?SUBSCRIBE|CLUSTER/.test(name) ? null : usual(name, []),
};

for (const [stage, answer] of Object.entries(STAGES)) {
  for (const cluster of [false, true]) {
    const kind = cluster ? "cluster" : "Redis";
    Deno.test(`fault 26: close while a ${kind} ${stage} leaves nothing open`, async () => {
      await using redis = new FakeRedis(answer);
      const broker = new RedisBroker(cluster ? { cluster: [redis.url] } : { url: redis.url });
      const started = broker.start({ deliver() {}, gap() {}, error() {} });
      const subscribed = broker.subscribe("x");
      const rejected = [started, subscribed].map((promise) =>
        assertRejects(() => promise, BrokerError, "shut down")
      );
      const [client] = await redis.clients.count(1);
      await redis.commands.find((name) =>
        stage.startsWith("accepts") || /SUBSCRIBE|CLUSTER/.test(name)
      );
      await broker.close();
      await client.ended;
      await Promise.all(rejected);
    });
  }
}

Deno.test("fault 26: close before the connection is made leaves nothing open", async () => {
  await using redis = new FakeRedis();
  for (const options of [{ url: redis.url }, { cluster: [redis.url] }]) {
    // From the turn of the call itself to some turns later.
    for (let turns = 0; turns < 5; turns++) {
      const broker = new RedisBroker(options);
      // The last broker may be connected already.
      const settled = broker.start({ deliver() {}, gap() {}, error() {} })
        .catch((error) => assert(error instanceof BrokerError, String(error)));
      for (let i = 0; i < turns; i++) await turn();
      await broker.close();
      await settled;
    }
  }
  for (const { ended } of redis.clients.all) await ended;
});

Deno.test("fault 26: a context that ends while its broker connects lets the process end", async () => {
  const redis = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const mod = new URL("../../mod.ts", import.meta.url).href;
  const entry = new URL("../../redis.ts", import.meta.url).href;
  const { port } = redis.addr as Deno.NetAddr;
  const program = `
    import { Context } from ${JSON.stringify(mod)};
    import { RedisBroker } from ${JSON.stringify(entry)};
    const ctx = new Context({ broker: new RedisBroker({ url: "redis://127.0.0.1:${port}" }) });
    Deno.stdin.read(new Uint8Array(1)).then(() => ctx.shutdown());`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", program],
    cwd: new URL("../..", import.meta.url),
    stdin: "piped",
    stdout: "inherit",
    stderr: "inherit",
  }).spawn();
  const conn = await redis.accept();
  const writer = child.stdin.getWriter();
  await writer.write(new Uint8Array(1));
  // The program has sent HELLO; then its input ends.
  await readToEnd(conn);
  assertEquals((await child.status).code, 0);
  await mayFail(writer.close(), "the process may have ended");
  conn.close();
  redis.close();
});

Deno.test("fault 29: the broker connects less and less often to a Redis that accepts and then disconnects", async () => {
  // Each session lasts until its first publication.
  await using redis = new FakeRedis((name, args) =>
    name === "PUBLISH" ? "drop" : usual(name, args)
  );
  const message = { text: true, payload: new Uint8Array(0), slow: "queue" } as const;
  const broker = new RedisBroker({ url: redis.url });
  const publish = () => void mayFail(broker.publish("x", message), "the session is closed");
  let gaps = 0;
  const gap = () => {
    gaps++;
    publish();
  };
  await broker.start({ deliver() {}, gap, error() {} });
  publish();
  const sessions = 7;
  const clients = await redis.clients.count(sessions);
  await broker.close();
  // Delays of 50, 100, 200 … ms, of which jitter may take off half.
  for (let i = 1; i < sessions; i++) {
    const pause = clients[i].since - clients[i - 1].since, least = 25 * 2 ** (i - 1);
    assert(pause >= least - 1, `${pause} ms before session ${i}: at least ${least}`);
  }
  assert(gaps >= sessions - 2);
});

Deno.test("fault 29: after a session of some seconds the next one is made at once", async () => {
  using time = new TimeShift();
  let drop = false;
  await using redis = new FakeRedis((name, args) =>
    drop && name === "PUBLISH" ? "drop" : usual(name, args)
  );
  const gaps = new Notes<BrokerGap>();
  const broker = new RedisBroker({ url: redis.url });
  const message = { text: true, payload: new Uint8Array(0), slow: "queue" } as const;
  await broker.start({ deliver() {}, gap: (gap) => gaps.add(gap), error() {} });
  // A session counts as working after two seconds.
  time.ahead += 2000;
  drop = true;
  await assertRejects(() => broker.publish("x", message), BrokerError);
  drop = false;
  const [gap] = await gaps.count(1);
  assert(gap.until - gap.since < 1000, `${gap.until - gap.since} ms`);
  await broker.close();
});

Deno.test("a dead connection that wasn't closed is noticed within seconds", async () => {
  let dead = false;
  await using redis = new FakeRedis((name, args) => dead ? null : usual(name, args));
  const errors = new Notes<unknown>(), gaps = new Notes<BrokerGap>();
  const server = new Context({
    broker: new RedisBroker({ url: redis.url, keepAlive: { interval: 20, timeout: 100 } }),
    onBrokerError: (error) => errors.add(error),
    onBrokerGap: (gap) => gaps.add(gap),
  });
  const room = new Room({}, server);
  const client = await room.join();
  room.members[0].subscribe("x");
  await server.ready;
  // After many pings it is still the same connection.
  for (let pings = 0; pings < 10;) {
    await redis.commands.count(redis.commands.all.length + 1);
    pings = redis.commands.all.filter((name) => name === "PING").length;
  }
  assertEquals(redis.clients.all.length, 1);
  dead = true;
  const { relayed } = server.publish("x", "into the void");
  const rejected = assertRejects(() => relayed, BrokerError, "Cannot relay");
  const [error] = await errors.count(1) as BrokerError[];
  assert(error.cause instanceof TimeoutError, String(error.cause));
  assertEquals(
    error.message,
    "Lost the connection to Redis: Redis has not answered a ping for 100 ms",
  );
  await rejected;
  // Subscriptions and publications of the meantime keep their order.
  room.members[0].subscribe("y");
  const waiting = server.publish("y", "later");
  dead = false;
  const [gap] = await gaps.count(1);
  assertEquals([gap.topics, gap.unsent], [["x", "y"], 1]);
  await waiting.relayed;
  assertEquals(await take(client, 2), ["into the void", "later"]);
  await room[Symbol.asyncDispose]();
});

Deno.test("a Redis that stops answering while topics are subscribed again is disconnected", async () => {
  let silent = false;
  await using redis = new FakeRedis((name, args) =>
    silent && name !== "HELLO" && name !== "CLIENT" ? null : usual(name, args)
  );
  const errors = new Notes<unknown>();
  const broker = new RedisBroker({ url: redis.url, keepAlive: { interval: 20, timeout: 50 } });
  await broker.start({ deliver() {}, gap() {}, error: (error) => errors.add(error) });
  await broker.subscribe("x");
  silent = true;
  // The first client belongs to the session that worked; the others connect without getting answers.
  const clients = await redis.clients.count(4);
  await Promise.all(clients.slice(0, 3).map(({ ended }) => ended));
  silent = false;
  await broker.subscribe("y");
  await broker.close();
});

Deno.test("with keepAlive: false no pings are sent", async () => {
  await using redis = new FakeRedis();
  for (const keepAlive of [false, { interval: 0 }] as const) {
    const broker = new RedisBroker({ url: redis.url, keepAlive });
    await broker.start({ deliver() {}, gap() {}, error() {} });
    for (let i = 0; i < 20; i++) await broker.subscribe(`${i}`);
    await broker.close();
  }
  assertEquals(redis.commands.all.includes("PING"), false);
});

Deno.test("invalid options of a Redis broker are refused, and passwords aren't shown", () => {
  const wrong: [unknown, string][] = [
    [{ url: "redis://a", cluster: ["redis://b"] }, "both url and cluster"],
    [{ cluster: [] }, "cluster [] (an array): use a list"],
    [{ cluster: "redis://user:secret@a" }, "cluster that is a string: use a list"],
    [{ cluster: [1] }, "url 1: use a string"],
    [{ url: 1 }, "url 1: use a string"],
    [{ url: "secret" }, "not valid"],
    [{ url: "http://user:secret@a" }, "scheme http: use redis: or rediss:"],
    [{ password: 1 }, "password 1: use a string"],
    [{ prefix: null }, "prefix null: use a string"],
    [{ keepAlive: true }, "keepAlive true (a boolean)"],
    [{ keepAlive: { interval: "1" } }, "keepAlive.interval"],
    [{ keepAlive: { timeout: -1 } }, "keepAlive.timeout"],
    [{ maxPendingBytes: NaN }, "maxPendingBytes"],
  ];
  for (const [options, words] of wrong) {
    const error = assertThrows(() => new RedisBroker(options as RedisBrokerOptions), Error, words);
    assert(error instanceof TypeError || error instanceof RangeError);
    assert(!error.message.includes("secret"));
  }
  new RedisBroker({ keepAlive: { interval: Infinity, timeout: 0 }, maxPendingBytes: 0 });
});
