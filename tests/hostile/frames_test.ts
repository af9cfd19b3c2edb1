import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { type CloseRecord, Context, type ListenOptions } from "../../mod.ts";
import { concat, join, repeat, utf8 } from "../support/bytes.ts";
import { compressed } from "../support/deflate.ts";
import { BINARY, CONTINUATION, frame, masked, PING, PONG, TEXT } from "../support/frames.ts";
import { rawPeer } from "../support/pair.ts";
import { rawListener, RawPeer, upgradeRequest, urlOf } from "../support/raw_peer.ts";
import { standstill, turn, until } from "../support/until.ts";
import { stillServes, victim } from "./_support.ts";
import { readToEnd, unlessGone } from "../support/failure.ts";

Deno.test("an oversized frame that is announced and never sent leads to 1009 at its header", async () => {
  await using server = victim();
  for (const size of [1024 * 1024 + 1, 2 ** 40, 2 ** 53, 2 ** 62]) {
    using peer = await RawPeer.connect(server.port);
    const header = new Uint8Array(14);
    header[0] = 0x82;
    header[1] = 0xff;
    new DataView(header.buffer).setBigUint64(2, BigInt(size));
    await peer.write(header);
    assertEquals(await peer.closeCode(), 1009);
  }
  await stillServes(server);
});

Deno.test("a million fragments of one byte form one message, and a million empty ones form none", async () => {
  await using server = victim({ maxMessageSize: 1_000_000 });
  for (const size of [1, 0]) {
    using peer = await RawPeer.connect(server.port);
    const part = masked(frame(CONTINUATION, "x".repeat(size), { fin: false }));
    await peer.send(frame(TEXT, "", { fin: false }));
    const many = repeat(part, 10_000);
    for (let i = 0; i < 100; i++) await peer.write(many);
    await peer.send(frame(CONTINUATION, ""));
    const echo = await peer.frame();
    assertEquals(echo!.payload.length, 1_000_000 * size);
  }
  await stillServes(server);
});

Deno.test("TCP segments of one byte give the same messages", async () => {
  await using server = victim();
  using peer = await RawPeer.connect(server.port);
  await peer.writeChopped(peer.encode(frame(TEXT, "hello".repeat(100))), 1);
  assertEquals((await peer.frame())!.payload, utf8("hello".repeat(100)));
});

Deno.test("a ping flood gets as many answers as the peer reads, and none is kept for a peer that doesn't read", async () => {
  await using server = victim();
  using peer = await RawPeer.connect(server.port);
  const pings = repeat(masked(frame(PING, "x".repeat(100))), 500);
  // 50 MB of answers are more than the kernel's buffers hold. They are dropped, and the pings are still read.
  for (let i = 0; i < 1000; i++) await peer.write(pings);
  const [conn] = server.ctx.connections;
  assertEquals(conn.queuedBytes, 0);
  await peer.send(frame(PING, "last"));
  for (;;) {
    const pong = await peer.frame();
    assertEquals(pong!.opcode, PONG);
    if (pong!.payload.length === 4) break;
  }
  await stillServes(server);
});

Deno.test("a pong flood without a ping isn't answered, and nothing is kept", async () => {
  await using server = victim();
  using peer = await RawPeer.connect(server.port);
  const pongs = repeat(masked(frame(PONG, "x".repeat(125))), 1000);
  for (let i = 0; i < 100; i++) await peer.write(pongs);
  await peer.send(frame(TEXT, "still here"));
  assertEquals((await peer.frame())!.payload, utf8("still here"));
});

/** Ends a connection whose peer reads nothing; returns the record. */
async function unread(
  options: ListenOptions,
  act: (ends: Awaited<ReturnType<typeof rawPeer>>) => unknown,
): Promise<CloseRecord> {
  await using ends = await rawPeer({ onMessage: () => {}, onError: () => {}, ...options });
  await act(ends);
  return await ends.conn.closed;
}

Deno.test("a peer that never reads data is disconnected by sendTimeout", async () => {
  const record = await unread({ sendTimeout: 200 }, ({ conn }) => {
    for (let i = 0; i < 16; i++) conn.send(new Uint8Array(1 << 20).fill(i));
  });
  assertMatch(String(record.cause), /read nothing for 200 ms/);
  assert(record.unsentBytes > 0 && record.unsentMessages > 0);
});

Deno.test("a peer that never reads data has a queue that is bounded by maxQueueBytes", async () => {
  const record = await unread(
    { maxQueueBytes: 1 << 20, whenQueueFull: "close", closeTimeout: 50 },
    ({ conn }) => {
      while (conn.state === "open") conn.send(new Uint8Array(64 * 1024));
      assert(conn.stats().queueHighWater <= 1 << 20);
    },
  );
  assertMatch(String(record.cause), /queue/i);
});

Deno.test("a peer that never reads pongs is disconnected when data are queued, too", async () => {
  const record = await unread({ sendTimeout: 200 }, async ({ conn, raw }) => {
    // The pings are read and their answers dropped, so this only takes time.
    const pings = repeat(masked(frame(PING, "x".repeat(125))), 500);
    for (let i = 0; i < 200; i++) await raw.write(pings);
    conn.send(new Uint8Array(16 << 20));
  });
  assertMatch(String(record.cause), /read nothing for 200 ms/);
});

Deno.test("a peer that never reads our close frame is disconnected by closeTimeout", async () => {
  const record = await unread({ closeTimeout: 100 }, ({ conn }) => {
    for (let i = 0; i < 16; i++) conn.send(new Uint8Array(1 << 20));
    conn.close();
  });
  assertMatch(String(record.cause), /Not closed within 100 ms/);
  assertEquals([record.sent, record.wasClean], [null, false]);
});

Deno.test("a peer that never closes is disconnected by closeTimeout, even if it keeps sending", async () => {
  await using server = victim({ closeTimeout: 200, onConnect: (conn) => conn.close(1000, "bye") });
  using peer = await RawPeer.connect(server.port);
  const [conn] = server.ctx.connections;
  let sending = true;
  const flood = (async () => {
    const junk = repeat(masked(frame(BINARY, "x".repeat(1000))), 10);
    while (sending) {
      await unlessGone(peer.write(junk));
      await turn();
    }
  })();
  assertMatch(String((await conn.closed).cause), /Not closed within 200 ms/);
  sending = false;
  await flood;
});

Deno.test("a peer that has failed and keeps sending is read without decoding, until closeTimeout", async () => {
  await using server = victim({ closeTimeout: 200 });
  using peer = await RawPeer.connect(server.port);
  const [conn] = server.ctx.connections;
  await peer.write(Uint8Array.of(0xff, 0xff));
  const junk = new Uint8Array(64 * 1024);
  const flood = unlessGone((async () => {
    for (;;) await peer.write(junk);
  })());
  assertEquals(await peer.closeCode(), 1002);
  assertEquals((await conn.closed).code, 1006);
  await flood;
});

const OFFER = { "Sec-WebSocket-Extensions": "permessage-deflate" };

Deno.test("a compression bomb leads to 1009 at the limit", async () => {
  await using server = victim({ compression: true });
  using peer = await RawPeer.connect(server.port, OFFER);
  const bomb = compressed(new Uint8Array(64 << 20), 9);
  assert(bomb.length < 128 * 1024);
  await peer.send(frame(BINARY, bomb, { rsv: 4 }));
  assertEquals(await peer.closeCode(), 1009);
  await stillServes(server);
});

Deno.test("bad windows and corrupt data: the offer is declined, and the data fail only their connection, with 1007", async () => {
  await using server = victim({ compression: true });
  for (const bits of ["7", "16", "08", "x", "1e1", "-9", '"15 "']) {
    const offer = `permessage-deflate; server_max_window_bits=${bits}`;
    using peer = await RawPeer.dial(server.port);
    await peer.write(upgradeRequest({ "Sec-WebSocket-Extensions": offer }));
    await peer.readHead();
    // Declined, or refused with 400 if the value isn't even a token.
    assertMatch(peer.head, /^HTTP\/1\.1 (101|400) /);
    assert(!/permessage-deflate/i.test(peer.head), `${bits}: ${peer.head}`);
  }
  using peer = await RawPeer.connect(server.port, OFFER);
  assertMatch(peer.head, /permessage-deflate/);
  await peer.send(frame(BINARY, new Uint8Array(100).fill(0xff), { rsv: 4 }));
  assertEquals(await peer.closeCode(), 1007);
  await stillServes(server);
});

Deno.test("invalid UTF-8 at the last byte of 1 MiB leads to 1007, in one frame, in many, and compressed", async () => {
  const bad = utf8("x".repeat((1 << 20) - 1) + "y");
  bad[bad.length - 1] = 0xc3;
  const packed = compressed(bad);
  const parts = Array.from({ length: 64 }, (_, i) =>
    frame(
      i === 0 ? TEXT : CONTINUATION,
      bad.subarray(i * 16384, (i + 1) * 16384),
      { fin: i === 63 },
    ));
  await using server = victim({ compression: true });
  for (const frames of [[frame(TEXT, bad)], parts, [frame(TEXT, packed, { rsv: 4 })]]) {
    using peer = await RawPeer.connect(server.port, OFFER);
    await peer.send(...frames);
    assertEquals(await peer.closeCode(), 1007);
  }
  await stillServes(server);
});

Deno.test("predictable masks: 1,000 frames of a client have 1,000 different keys, and none is zero", async () => {
  using listener = rawListener();
  await using ctx = new Context();
  const conn = ctx.connect(urlOf(listener));
  using peer = await RawPeer.accept(listener);
  await conn.opened;
  for (let i = 0; i < 1000; i++) conn.send("");
  // An empty text frame has six bytes, of which the last four are its key.
  const bytes = new Uint8Array(6000);
  for (let at = 0; at < bytes.length;) at += (await peer.conn.read(bytes.subarray(at)))!;
  const keys = new Set<number>(), view = new DataView(bytes.buffer);
  let ones = 0;
  for (let i = 0; i < 1000; i++) {
    assertEquals(view.getUint16(6 * i), 0x8180);
    const key = view.getUint32(6 * i + 2);
    assertNotEquals(key, 0);
    keys.add(key);
    for (let bit = 0; bit < 32; bit++) ones += (key >>> bit) & 1;
  }
  assertEquals(keys.size, 1000);
  assert(ones > 15_000 && ones < 17_000, `${ones} of 32000 bits are set`);
});

Deno.test("callbacks that throw are reported, and the connection continues", async () => {
  const errors: unknown[] = [];
  await using ends = await rawPeer({
    onMessage: (conn, data) => {
      conn.send(data);
      throw new Error("message");
    },
    onPing: () => Promise.reject(new Error("ping")),
    onError: (_, error) => {
      errors.push((error as Error).message);
    },
  });
  await ends.raw.send(TEXT, "one");
  await ends.raw.send(PING);
  await ends.raw.send(TEXT, "two");
  assertEquals((await ends.raw.next(TEXT)).payload, utf8("one"));
  assertEquals((await ends.raw.next(TEXT)).payload, utf8("two"));
  await until(() => errors.length === 3);
  assertEquals(errors.sort(), ["message", "message", "ping"]);
});

Deno.test("a callback that never settles holds only its connection, within readAhead, and doesn't delay its end", async () => {
  let calls = 0;
  await using ends = await rawPeer({
    closeTimeout: 50,
    readAhead: 10_000,
    onMessage: () => {
      calls++;
      return new Promise(() => {});
    },
  });
  const closed = ends.conn.closed;
  const flood = unlessGone((async () => {
    const some = join(
      Array.from({ length: 100 }, () => ends.raw.encode(BINARY, new Uint8Array(100))),
    );
    for (let i = 0; i < 2000; i++) await ends.raw.write(some);
  })());
  await until(() => ends.conn.stats().bytesReceived > 0 && ends.conn.stats().messagesReceived > 50);
  // The rest is in the kernel's buffers.
  assert(ends.conn.stats().bytesReceived < 200_000);
  ends.conn.terminate();
  const { undelivered } = await closed;
  assert(undelivered > 0);
  assertEquals(calls, 1);
  await flood;
});

Deno.test("a reader paused for ever holds at most readAhead and one read", async () => {
  await using ends = await rawPeer({ readAhead: 64 * 1024, onConnect: (conn) => conn.pause() });
  let written = 0;
  const flood = unlessGone((async () => {
    const some = join(
      Array.from({ length: 100 }, () => ends.raw.encode(BINARY, new Uint8Array(1000))),
    );
    for (;;) {
      await ends.raw.write(some);
      written += some.length;
    }
  })());
  // The flood stops when the kernel's buffers are full.
  await standstill(() => written);
  const { bytesReceived } = ends.conn.stats();
  assert(bytesReceived <= 2 * 64 * 1024 + 14, `${bytesReceived} bytes were read while paused`);
  ends.conn.terminate();
  ends.raw.close();
  await flood;
});

Deno.test("a peer that vanishes is noticed by keepAlive", async () => {
  await using server = victim({ keepAlive: { interval: 50, timeout: 50 } });
  using peer = await RawPeer.connect(server.port);
  const [conn] = server.ctx.connections;
  assertMatch(String((await conn.closed).cause), /silent for 50 ms/);
  assertEquals((await readToEnd(peer.conn)) > 0, true);
});

Deno.test("control frames during a flood: a ping is answered while 64 MiB are in flight", async () => {
  await using server = victim({ onMessage: () => {}, maxMessageSize: 0 });
  using peer = await RawPeer.connect(server.port);
  const part = masked(frame(CONTINUATION, new Uint8Array(1 << 20), { fin: false }));
  await peer.send(frame(BINARY, "", { fin: false }));
  for (let i = 0; i < 8; i++) await peer.write(concat(part, masked(frame(PING, String(i)))));
  for (let i = 0; i < 8; i++) assertEquals((await peer.frame())!.payload, utf8(String(i)));
});
