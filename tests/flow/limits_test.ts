import { assert, assertEquals, assertThrows } from "@std/assert";
import { type ConnectionOptions, Context } from "../../mod.ts";
import { mergeOptions, resolveSettings } from "../../src/connection_options.ts";
import { Lifetime } from "../../src/engine/lifetime.ts";
import type { Timer } from "../../src/util/timers.ts";
import { Timers } from "../../src/util/timers.ts";
import { type RawPair, rawPeer, testPair } from "../support/pair.ts";
import { turn, until } from "../support/until.ts";

const NEVER = [0, 2 ** 31, 2 ** 40, Infinity];

/** A connection whose peer neither sends nor reads, so that its timeouts show. */
async function silent(options: ConnectionOptions): Promise<RawPair> {
  return await rawPeer({ keepAlive: false, closeTimeout: 0, onMessage() {}, ...options });
}

const TIMEOUTS: Record<string, {
  options: (ms: number) => ConnectionOptions;
  begin?: (peer: RawPair) => void;
}> = {
  "keepAlive.interval": { options: (interval) => ({ keepAlive: { interval, timeout: 1 } }) },
  "keepAlive.timeout": { options: (timeout) => ({ keepAlive: { interval: 1, timeout } }) },
  "closeTimeout": {
    options: (closeTimeout) => ({ closeTimeout }),
    begin: ({ conn }) => conn.close(),
  },
  "sendTimeout": {
    options: (sendTimeout) => ({ sendTimeout }),
    begin: ({ conn }) => void conn.send(new Uint8Array(15_000_000)),
  },
  "maxLifetime": { options: (maxLifetime) => ({ maxLifetime }) },
};

for (const [name, { options, begin = () => {} }] of Object.entries(TIMEOUTS)) {
  Deno.test(`faults 24 and 30: ${name}: 0 and times above the maximum of a timer mean never`, async () => {
    const lasting = await Promise.all(NEVER.map((ms) => silent(options(ms))));
    // Begun later, and with a limit: its end shows that the others had enough time.
    for (const peer of lasting) begin(peer);
    const before = lasting.map(({ conn }) => conn.state);
    for (let i = 0; i < 3; i++) {
      await using short = await silent(options(15));
      begin(short);
      await until(() => short.conn.state === (name === "maxLifetime" ? "closing" : "closed"));
      short.conn.terminate();
    }
    assertEquals(lasting.map(({ conn }) => conn.state), before);
    for (const peer of lasting) {
      peer.conn.terminate();
      await peer[Symbol.asyncDispose]();
    }
  });
}

Deno.test("water marks: values that are given together are checked, and a default adapts to the limit", () => {
  const KIB = 1024, MIB = 1024 * KIB;
  const marks = (options: ConnectionOptions, defaults: ConnectionOptions = {}) => {
    const merged = mergeOptions("listen", defaults, options);
    const { lowWaterMark, highWaterMark, maxQueueBytes } = resolveSettings("listen", merged);
    return [lowWaterMark, highWaterMark, maxQueueBytes];
  };
  assertEquals(marks({}), [0, 64 * KIB, 16 * MIB]);
  assertEquals(marks({ maxQueueBytes: 1000 }), [0, 1000, 1000]);
  assertEquals(marks({ maxQueueBytes: 0 }), [0, 64 * KIB, Infinity]);
  assertEquals(marks({ maxQueueBytes: 0, highWaterMark: 99 * MIB }), [0, 99 * MIB, Infinity]);
  assertEquals(marks({ highWaterMark: 99 * MIB }), [0, 16 * MIB, 16 * MIB]);
  assertEquals(marks({ highWaterMark: 1000, maxQueueBytes: 1000, lowWaterMark: 1000 }), [
    1000,
    1000,
    1000,
  ]);
  assertEquals(marks({ lowWaterMark: 500, maxQueueBytes: 1000 }), [500, 1000, 1000]);
  const wrong: ConnectionOptions[] = [
    { highWaterMark: 1001, maxQueueBytes: 1000 },
    { lowWaterMark: 1001, maxQueueBytes: 1000 },
    { lowWaterMark: 11, highWaterMark: 10 },
    { lowWaterMark: 65 * KIB },
  ];
  for (const options of wrong) {
    assertThrows(() => marks(options), RangeError, "above", JSON.stringify(options));
  }
  assertThrows(() => marks(wrong[0]), RangeError, "highWaterMark 1001 above maxQueueBytes 1000");
  // If the marks are those of the context and the limit is that of the call, they weren't given together.
  const context = { highWaterMark: 1 * MIB, lowWaterMark: 512 * KIB };
  assertEquals(marks({ maxQueueBytes: 1000 }, context), [1000, 1000, 1000]);
  assertEquals(marks({ highWaterMark: 1000 }, context), [1000, 1000, 16 * MIB]);
  assertEquals(marks({ maxQueueBytes: 0 }, context), [512 * KIB, 1 * MIB, Infinity]);
  assertEquals(marks({ lowWaterMark: 1 }, context), [1, 1 * MIB, 16 * MIB]);
  assertThrows(() => marks({ highWaterMark: 2000 }, { maxQueueBytes: 1000 }), RangeError, "2000");
});

Deno.test("keepAlive is on by default in both roles", () => {
  const both = { interval: 20_000, timeout: 20_000 };
  assertEquals(resolveSettings("connect", {}).keepAlive, both);
  assertEquals(resolveSettings("connect", { keepAlive: false }).keepAlive, null);
  assertEquals(resolveSettings("connect", { keepAlive: { interval: 0 } }).keepAlive, null);
  assertEquals(resolveSettings("connect", { keepAlive: { timeout: 0 } }).keepAlive, {
    interval: 20_000,
    timeout: Infinity,
  });
});

testPair(
  "maxLifetime: connections with the option are closed with 1001, in either role",
  async (pair) => {
    for (const role of ["server", "client"]) {
      const mortal = { maxLifetime: 30 };
      await using both = await pair(
        role === "server" ? mortal : {},
        role === "client" ? mortal : {},
      );
      await using other = await pair();
      const mine = role === "server" ? both.server : both.client;
      const record = await mine.closed;
      assertEquals([record.sent, record.initiator, record.wasClean, record.cause], [
        { code: 1001, reason: "" },
        "local",
        true,
        undefined,
      ]);
      assertEquals(other.client.state, "open");
    }
  },
);

Deno.test("maxLifetime ends at random between 90 and 100 % of the time, on one timer that ends with the connection", async () => {
  const delays: number[] = [], cleared: Timer[] = [];
  const timers = Object.assign(new Timers(), {
    set: (_: Timer, delay: number) => void delays.push(delay),
    clear: (timer: Timer) => void cleared.push(timer),
  });
  const conn = { owner: { timers }, settings: { maxLifetime: 1000 }, close() {} };
  const lifetimes = Array.from({ length: 500 }, () => new Lifetime(conn));
  assert(delays.length === 500 && delays.every((delay) => delay > 900 && delay <= 1000));
  assert(Math.min(...delays) < 920 && Math.max(...delays) > 980);
  lifetimes[0].stop();
  assertEquals(cleared, [lifetimes[0]]);
  // A closed connection has no timer left.
  await using ctx = new Context({ maxLifetime: 60_000 });
  const listener = ctx.listen({ hostname: "127.0.0.1" });
  const client = ctx.connect(listener.url);
  await client.opened;
  client.close();
  await client.closed;
  await turn();
});
