import { assert, assertEquals, assertThrows } from "@std/assert";
import { Context } from "../../mod.ts";
import { RateLimit } from "../../src/engine/rate_limit.ts";
import { addressKey, AddressLimit } from "../../src/server/address_limit.ts";
import { Timers } from "../../src/util/timers.ts";
import { numbered, numberOf, upTo } from "../support/messages.ts";
import { pair, rawPeer } from "../support/pair.ts";
import { until } from "../support/until.ts";
import { BINARY, CLOSE, PING } from "../support/frames.ts";

Deno.test("rateLimit: messages above the limit are held, none is lost, and all are delivered in order", async () => {
  const got: number[] = [], times: number[] = [];
  await using ends = await pair({
    rateLimit: { messages: 200 },
    onMessage: (_, data) => {
      got.push(numberOf(data));
      times.push(performance.now());
    },
  });
  for (const n of upTo(300)) ends.client.send(numbered(n, 8));
  await until(() => got.length === 300);
  assertEquals(got, upTo(300));
  // The messages of one second come at once, and further ones no faster than the limit.
  assert(times[299] - times[0] > 450, `300 messages took ${times[299] - times[0]} ms`);
});

Deno.test("rateLimit: bytes above the limit aren't read", async () => {
  let received = 0;
  const start = performance.now();
  await using ends = await pair({
    rateLimit: { bytes: 100_000 },
    maxMessageSize: 0,
    onMessage: (_, data) => void (received += data.length),
  });
  ends.client.send(new Uint8Array(150_000));
  await until(() => ends.server.stats().bytesReceived > 99_000);
  const { bytesReceived } = ends.server.stats();
  const seconds = (performance.now() - start) / 1000;
  assert(bytesReceived <= 100_000 * (1 + seconds), `${bytesReceived} bytes in ${seconds} s`);
  await until(() => received === 150_000);
  assert(performance.now() - start > 450);
});

Deno.test("rateLimit: pings count as messages, so a flood of them isn't answered faster", async () => {
  await using ends = await rawPeer({ rateLimit: { messages: 10 }, keepAlive: false });
  for (let i = 0; i < 14; i++) await ends.raw.send(PING, String(i));
  const start = performance.now();
  let last = "";
  while (last !== "13") last = new TextDecoder().decode((await ends.raw.frame())!.payload);
  assert(performance.now() - start > 300, `${performance.now() - start} ms`);
});

Deno.test("rateLimit: close() ends the limit, so that the peer's close frame is read at once", async () => {
  const held = Promise.withResolvers<void>();
  await using ends = await rawPeer({
    rateLimit: { messages: 1 },
    closeTimeout: 60_000,
    onMessage: () => held.resolve(),
  });
  const burst = Array.from({ length: 1000 }, () => ends.raw.encode(BINARY, "x"));
  for (const frame of burst) await ends.raw.write(frame);
  await held.promise;
  ends.conn.close();
  await ends.raw.next(CLOSE);
  await ends.raw.sendClose(1000);
  assertEquals((await ends.conn.closed).wasClean, true);
});

Deno.test("rateLimit: keepAlive doesn't end a held connection", async () => {
  const got: number[] = [];
  await using ends = await pair({
    rateLimit: { messages: 2 },
    keepAlive: { interval: 20, timeout: 20 },
    onMessage: (_, data) => void got.push(numberOf(data)),
  });
  for (const n of upTo(4)) ends.client.send(numbered(n, 8));
  await until(() => got.length === 4);
  assertEquals(ends.server.state, "open");
});

Deno.test("rateLimit: all messages are delivered after a pause", async () => {
  await using ends = await pair({ rateLimit: { messages: 15 }, onMessage: () => {} });
  ends.server.pause();
  for (const n of upTo(20)) ends.client.send(numbered(n, 8));
  ends.server.resume();
  await until(() => ends.server.stats().messagesReceived === 20);
});

Deno.test("rateLimit: invalid options are refused", async () => {
  await using ctx = new Context();
  for (const rateLimit of [{ messages: 0 }, { bytes: -1 }, { bytes: NaN }, { messages: 0.5 }]) {
    assertThrows(() => ctx.listen({ rateLimit }), RangeError, "rateLimit");
  }
  for (const rateLimit of [5, null, { bytes: "1" }]) {
    assertThrows(() => ctx.listen({ rateLimit: rateLimit as never }), TypeError, "rateLimit");
  }
  for (const name of ["maxConnections", "maxHandshakes", "maxConnectionsPerAddress"]) {
    assertThrows(() => ctx.listen({ [name]: -1 }), RangeError, name);
    assertThrows(() => ctx.listen({ [name]: 1.5 }), RangeError, name);
  }
});

Deno.test("a bucket allows the amount of a second at once, and then nothing until the timer has fired", () => {
  const timers = new Timers();
  let resumed = 0;
  const limit = new RateLimit({ messages: 3, bytes: 1000 }, {
    owner: { timers },
    unlimited: () => void resumed++,
  });
  assertEquals(limit.room(0), 1000);
  assertEquals([limit.took(), limit.took(), limit.took()], [false, false, true]);
  assertEquals([limit.dry, limit.room(0)], [true, 0]);
  assert(limit.index >= 0);
  limit.stop();
  limit.fire();
  assertEquals([limit.dry, resumed], [false, 1]);
});

Deno.test("addresses: IPv4 counts by address, IPv6 by /64, and mapped IPv4 as IPv4", () => {
  assertEquals(addressKey("192.0.2.1"), "192.0.2.1");
  assertEquals(addressKey("::ffff:192.0.2.1"), "192.0.2.1");
  assertEquals(addressKey("2001:db8:1:2::1"), "2001:db8:1:2");
  assertEquals(addressKey("2001:0DB8:1:2:ffff:ffff:ffff:ffff"), "2001:db8:1:2");
  assertEquals(addressKey("2001:db8::1"), "2001:db8:0:0");
  assertEquals(addressKey("::1"), "0:0:0:0");
  assertEquals(addressKey("fe80::1%eth0"), "fe80:0:0:0");
  assertEquals(addressKey("1::"), "1:0:0:0");
  const count = new AddressLimit(2);
  const tcp = (hostname: string): Deno.NetAddr => ({ transport: "tcp", hostname, port: 1 });
  const first = count.take(tcp("::1")), second = count.take(tcp("::2"));
  assertEquals(count.take(tcp("::3")), null);
  first!();
  first!();
  const third = count.take(tcp("::4"));
  assert(third !== null && count.take(tcp("::5")) === null);
  second!();
  third!();
  assertEquals(count.size, 0);
  assert(count.take({ transport: "unix", path: "x" }) !== null);
});
