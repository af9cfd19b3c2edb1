import { assert, assertEquals, assertMatch } from "@std/assert";
import { Context } from "../../mod.ts";
import { concat, repeat, utf8 } from "../support/bytes.ts";
import { deno } from "../support/child.ts";
import { rawListener, RawPeer, upgradeRequest, urlOf } from "../support/raw_peer.ts";
import { turn, until } from "../support/until.ts";
import { statusOf, stillServes, victim } from "./_support.ts";
import { readToEnd, unlessGone } from "../support/failure.ts";
import { makeCertificates } from "../transport/certificates.ts";

Deno.test("slow handshake: the timeout ends a head that comes byte by byte", async () => {
  await using server = victim({ handshakeTimeout: 200 });
  using peer = await RawPeer.dial(server.port);
  let ended = false;
  const drip = (async () => {
    for (const byte of upgradeRequest({ "X-Long": "x".repeat(15_000) })) {
      if (ended) return;
      await unlessGone(peer.write(Uint8Array.of(byte)));
      await turn();
    }
    throw new Error("The head has arrived");
  })();
  const { status } = await peer.response();
  ended = true;
  assertEquals(status, 408);
  assertMatch((await server.refused.next()).message, /No handshake within 200 ms/);
  await drip;
  await stillServes(server);
});

Deno.test("silent handshake: the timeout ends a connection that sends nothing", async () => {
  await using server = victim({ handshakeTimeout: 50 });
  using peer = await RawPeer.dial(server.port);
  assertMatch(new TextDecoder().decode(await peer.rest()), /^HTTP\/1\.1 408 /);
  assertMatch((await server.refused.next()).message, /No handshake within 50 ms/);
});

Deno.test("endless head: the head is refused with 431 at the limit", async () => {
  await using server = victim();
  using peer = await RawPeer.dial(server.port);
  await peer.write(utf8("GET / HTTP/1.1\r\n"));
  const flood = (async () => {
    const line = repeat(utf8("X-Header: value\r\n"), 256);
    for (;;) await peer.write(line);
  })();
  // The write ends when the server has closed.
  const ended = flood.catch(() => "ended");
  await peer.readHead();
  assertMatch(peer.head, /^HTTP\/1\.1 431 /);
  assertEquals(await ended, "ended");
  assertMatch((await server.refused.next()).message, /larger than 16384 bytes/);
  await stillServes(server);
});

Deno.test("head without end: a peer that ends its direction in the head is disconnected at once", async () => {
  await using server = victim();
  using peer = await RawPeer.dial(server.port);
  await peer.write(utf8("GET / HTTP/1.1\r\nHost: x\r\n"));
  await peer.conn.closeWrite();
  assertEquals(await readToEnd(peer.conn), 0);
  assertMatch((await server.refused.next()).message, /ended before the handshake was complete/);
});

Deno.test("1 MiB of headers: a complete head is refused with 431, too", async () => {
  await using server = victim();
  using peer = await RawPeer.dial(server.port);
  const writing = unlessGone(peer.write(upgradeRequest({ "X-Large": "x".repeat(1 << 20) })));
  await peer.readHead();
  assertMatch(peer.head, /^HTTP\/1\.1 431 /);
  peer.close();
  await writing;
  await stillServes(server);
});

Deno.test("half-open connections: the oldest are dropped, so that 2,000 of them don't exclude a client", async () => {
  await using server = victim({ maxHandshakes: 100, handshakeTimeout: 600_000 });
  const peers: Deno.Conn[] = [];
  try {
    const ends: Promise<number>[] = [];
    for (let i = 0; i < 2000; i++) {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
      peers.push(conn);
      await conn.write(utf8("GET / HTTP/1.1\r\n"));
      ends.push(readToEnd(conn));
      if (i % 500 === 499) await stillServes(server);
    }
    // The first ones were closed without a response.
    assertEquals(await Promise.all(ends.slice(0, 1900)), Array(1900).fill(0));
    assertMatch((await server.refused.next()).message, /dropped to make room/);
    await stillServes(server);
  } finally {
    for (const conn of peers) conn.close();
  }
});

Deno.test("connections per address: a half-open one that is dropped for a later one makes room", async () => {
  await using server = victim({ maxHandshakes: 1, maxConnectionsPerAddress: 2 });
  for (let i = 0; i < 5; i++) {
    using dropped = await RawPeer.dial(server.port);
    using later = await RawPeer.dial(server.port);
    assertEquals(await readToEnd(dropped.conn), 0);
    assertMatch((await server.refused.next()).message, /dropped to make room/);
    later.close();
    assertMatch((await server.refused.next()).message, /ended before|reset/i);
  }
  await stillServes(server);
});

Deno.test("connections per address: at the limit, a handshake gets the place of the one that it drops", async () => {
  await using server = victim({ maxHandshakes: 1, maxConnectionsPerAddress: 1 });
  for (let i = 0; i < 3; i++) {
    using dropped = await RawPeer.dial(server.port);
    assertEquals(await statusOf(server.port), 101);
    assertEquals(await readToEnd(dropped.conn), 0);
    assertMatch((await server.refused.next()).message, /dropped to make room/);
    await until(() => server.ctx.connections.size === 0);
  }
});

Deno.test("connections per address: one that sends nothing over TLS makes room after the timeout", async () => {
  using certificates = makeCertificates();
  await using server = victim({
    tls: certificates.server,
    handshakeTimeout: 50,
    maxConnectionsPerAddress: 1,
  });
  for (let i = 0; i < 3; i++) {
    using silent = await RawPeer.dial(server.port);
    assertEquals(await readToEnd(silent.conn), 0);
    assertMatch((await server.refused.next()).message, /No handshake within 50 ms/);
  }
  assertMatch(Deno.inspect(server.listener), /, 0 handshakes/);
});

Deno.test("handshakes in progress: if all wait for the application, the newest is refused", async () => {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  let asked = 0;
  await using server = victim({
    maxHandshakes: 3,
    onHandshake: () => {
      asked++;
      return promise;
    },
  });
  const peers = await Promise.all(Array.from({ length: 3 }, () => RawPeer.dial(server.port)));
  for (const peer of peers) await peer.write(upgradeRequest());
  await until(() => asked === 3);
  using fourth = await RawPeer.dial(server.port);
  assertEquals(await readToEnd(fourth.conn), 0);
  resolve(true);
  for (const peer of peers) {
    assertMatch(await peer.readHead(), / 101 /);
    peer.close();
  }
});

Deno.test("connections per address: those above the limit get 503, and closed ones make room", async () => {
  await using server = victim({ maxConnectionsPerAddress: 3 });
  const open = [await RawPeer.connect(server.port), await RawPeer.connect(server.port)];
  // A handshake in progress counts, too.
  const half = await RawPeer.dial(server.port);
  await half.write(utf8("GET /"));
  {
    using refused = await RawPeer.dial(server.port);
    assertEquals((await refused.response()).status, 503);
  }
  assertMatch((await server.refused.next()).message, /Too many connections from this address/);
  half.close();
  assertMatch((await server.refused.next()).message, /ended before|reset/i);
  open.push(await RawPeer.connect(server.port));
  for (const peer of open) peer.close();
  await until(() => server.ctx.connections.size === 0);
  await stillServes(server);
});

Deno.test("too many connections: further ones get 503, and open ones continue", async () => {
  await using server = victim({ maxConnections: 1 });
  const first = await RawPeer.connect(server.port);
  assertEquals(await statusOf(server.port), 503);
  first.close();
  await until(() => server.ctx.connections.size === 0);
  await stillServes(server);
});

Deno.test("cross-site hijacking: pages of other origins get 403, and programs without an origin are accepted", async () => {
  await using server = victim({ origins: ["https://example.com"] });
  assertEquals(await statusOf(server.port, { Origin: "https://evil.example", Cookie: "a=b" }), 403);
  assertEquals(await statusOf(server.port, { Origin: "null" }), 403);
  assertEquals(await statusOf(server.port, { Origin: "https://example.com.evil.example" }), 403);
  assertEquals(await statusOf(server.port, { Origin: "https://example.com" }), 101);
  assertEquals(await statusOf(server.port), 101);
});

Deno.test("cross-site hijacking: a cookie without a rule leads to one warning", async () => {
  for (const rule of ["none", "origins", "onHandshake", "no-cookie"]) {
    const script = new URL("./programs/cookie.ts", import.meta.url).pathname;
    const { stdout, stderr } = await deno(
      ["run", "--allow-net", "--allow-env", "--no-check", script, rule],
    );
    assertEquals(stdout, "101 101\n", stderr);
    assertEquals(stderr.match(/cross-site WebSocket hijacking/g)?.length ?? 0, +(rule === "none"));
  }
});

Deno.test("DNS rebinding: a page that uses another host name is refused by origin and by host", async () => {
  const rebound = { Host: "evil.example", Origin: "http://evil.example" };
  {
    await using server = victim({ origins: ["http://localhost"] });
    assertEquals(await statusOf(server.port, rebound), 403);
  }
  // The program of docs/security.md.
  const hosts = new Set(["localhost", "127.0.0.1"]);
  await using server = victim({
    onHandshake: (request) => hosts.has(new URL(request.url).hostname),
  });
  assertEquals(await statusOf(server.port, rebound), 403);
  assertEquals(await statusOf(server.port, { Host: "localhost:8080" }), 101);
});

Deno.test("a callback that never answers a handshake is ended by the timeout, one that throws leads to 500", async () => {
  {
    await using server = victim({ handshakeTimeout: 50, onHandshake: () => new Promise(() => {}) });
    assertEquals(await statusOf(server.port), 408);
  }
  await using server = victim({
    onHandshake: () => {
      throw new Error("secret");
    },
  });
  using peer = await RawPeer.dial(server.port);
  await peer.write(upgradeRequest());
  const { status, head, body } = await peer.response();
  assertEquals(status, 500);
  assert(!(head + body).includes("secret"));
});

Deno.test("a client doesn't believe a server with an endless head, or with too large a response", async () => {
  using listener = rawListener();
  const ctx = new Context();
  const conn = ctx.connect(urlOf(listener), { onError: () => {} });
  using peer = new RawPeer(await listener.accept(), "server");
  const flood = unlessGone((async () => {
    await peer.write(utf8("HTTP/1.1 101 Switching Protocols\r\n"));
    for (;;) await peer.write(repeat(utf8("X-Header: value\r\n"), 256));
  })());
  const { code, cause } = await conn.closed;
  assertEquals(code, 1006);
  assertMatch(String(cause), /larger than/);
  await flood;
  await ctx.shutdown();
});

Deno.test("garbage in place of a head fails at its first bytes", async () => {
  await using server = victim();
  for (const bytes of [Uint8Array.of(0x16, 3, 1, 2, 0), concat(utf8("GET"), Uint8Array.of(0))]) {
    using peer = await RawPeer.dial(server.port);
    await peer.write(bytes);
    assertEquals((await peer.response()).status, 400);
  }
  await stillServes(server);
});
