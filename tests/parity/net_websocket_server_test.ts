/** Net::WebSocket::Server: a test for each row of the parity list, with its number and name. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Connection, Context, HandshakeError, type Listener } from "../../mod.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { frame, PING, TEXT } from "../support/frames.ts";
import { RawPeer, upgradeRequest } from "../support/raw_peer.ts";
import { busy, Events, pair, rawClient } from "./_support.ts";

const local = { hostname: "127.0.0.1" };

Deno.test("N1 new(…)->start: listen corresponds to new, and finished to start", async () => {
  const ctx = new Context();
  const listener = ctx.listen({ ...local, onConnect: (conn) => conn.close(1000, "done") });
  let finished = false;
  listener.finished.then(() => finished = true);
  const conn = ctx.connect(listener.url);
  assertEquals((await conn.closed).reason, "done");
  assertEquals(finished, false);
  listener.close();
  await listener.finished;
});

Deno.test("N2 listen => $socket: a TCP listener of the application is used", async () => {
  await using ctx = new Context();
  const socket = Deno.listen({ ...local, port: 0 });
  const listener = ctx.listen({ listener: socket, onMessage: (conn, data) => conn.send(data) });
  assertEquals(listener.port, socket.addr.port);
  const conn = ctx.connect(listener.url);
  await conn.opened;
  conn.send("over a socket of yours");
  assertEquals(await conn.receive(), "over a socket of yours");
  for (const extra of [{ port: 0 }, { hostname: "127.0.0.1" }, { reusePort: true }]) {
    assertThrows(() => ctx.listen({ listener: socket, ...extra }), TypeError, "both listener and");
  }
  assertThrows(
    () => ctx.listen({ listener: {} as Deno.Listener }),
    TypeError,
    "a listener of Deno's",
  );
});

Deno.test("N2 listen => $socket: a TLS listener of the application is used, and a stalled client doesn't delay others", async () => {
  using certificates = makeCertificates();
  await using ctx = new Context({ tls: { caCerts: [certificates.ca] } });
  const socket = Deno.listenTls({ ...local, port: 0, ...certificates.server });
  const listener = ctx.listen({ listener: socket, onMessage: (conn, data) => conn.send(data) });
  // A client that never begins TLS, and one that stalls in the middle of the head of a plain listener.
  using _silent = await RawPeer.dial(listener.port);
  const plain = ctx.listen({ ...local, onMessage: (conn, data) => conn.send(data) });
  using stalled = await RawPeer.dial(plain.port);
  await stalled.write(upgradeRequest().slice(0, 40));
  for (const url of [`wss://localhost:${listener.port}/`, plain.url]) {
    const conn = ctx.connect(url);
    await conn.opened;
    conn.send("meanwhile");
    assertEquals(await conn.receive(), "meanwhile");
  }
  const [server] = listener.connections;
  assertEquals(server.request?.url.slice(0, 6), "https:");
});

Deno.test("N2 listen => $socket: a Unix listener of the application is used", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await using ctx = new Context();
    const path = `${directory}/socket`;
    const socket = Deno.listen({ transport: "unix", path });
    const listener = ctx.listen({ listener: socket, onConnect: (conn) => conn.close() });
    assertEquals([listener.port, listener.hostname, listener.url], [0, "", "ws://localhost/"]);
    using peer = await Deno.connect({ transport: "unix", path });
    await peer.write(upgradeRequest());
    const answer = new Uint8Array(1000);
    const count = await peer.read(answer);
    const text = new TextDecoder().decode(answer.subarray(0, count ?? 0));
    assert(text.startsWith("HTTP/1.1 101 "), text);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("N3 listen => IO::Socket::SSL: the option tls has certificate and key", async () => {
  using certificates = makeCertificates();
  await using ctx = new Context({ tls: { caCerts: [certificates.ca] } });
  const listener = ctx.listen({
    ...local,
    tls: certificates.server,
    onConnect: (c) => c.send("s"),
  });
  const conn = ctx.connect(`wss://localhost:${listener.port}/`);
  assertEquals(await conn.receive(), "s");
});

Deno.test("N4 silence_max: a silent connection gets a ping; false disables it", async () => {
  const ctx = new Context();
  await using listener = ctx.listen({ ...local, keepAlive: { interval: 10, timeout: 10_000 } });
  using peer = await rawClient(listener.port);
  assertEquals((await peer.frame())!.opcode, PING);
  await using other = ctx.listen({ ...local, keepAlive: { interval: 10, timeout: 10 } });
  using dead = await rawClient(other.port);
  const [conn] = other.connections;
  assertEquals((await conn.closed).code, 1006);
  assertEquals((await dead.frame())!.opcode, PING);
  assertThrows(() => ctx.listen({ keepAlive: true as never }), TypeError, "keepAlive");
  // Without a keepalive, the context has no armed timer, so it doesn't keep the process alive.
  await using silent = await pair({ keepAlive: false });
  assertEquals(silent.server.state, "open");
});

Deno.test("N5 tick_period, on_tick: calls never overlap, and stop with the listener", async () => {
  const ticks = new Events<Listener>();
  const release = Promise.withResolvers<void>();
  const ctx = new Context();
  let running = 0, most = 0;
  const listener = ctx.listen({
    ...local,
    tickInterval: 1,
    async onTick(listener) {
      most = Math.max(most, ++running);
      ticks.push(listener);
      if (ticks.all.length === 2) await release.promise;
      running--;
    },
  });
  assertEquals(await ticks.take(2), [listener, listener]);
  // During the second call ticks are skipped; another listener's ticks continue.
  const others = new Events<null>();
  const other = ctx.listen({ ...local, tickInterval: 1, onTick: () => others.push(null) });
  await others.take(5);
  assertEquals(ticks.all.length, 2);
  release.resolve();
  await ticks.take(2);
  assertEquals(most, 1);
  listener.close();
  const { length } = ticks.all;
  const never = new Events<null>();
  const still = ctx.listen({ ...local, tickInterval: 0, onTick: () => never.push(null) });
  await others.take(5);
  assertEquals([ticks.all.length, never.all.length], [length, 0]);
  await Promise.all([still.shutdown(), other.shutdown()]);
  assertThrows(() => ctx.listen({ tickInterval: -1 }), RangeError, "tickInterval -1");
});

Deno.test("N6 on(event => sub): callbacks of server and connection can be set later", async () => {
  const events = new Events<string>();
  const ctx = new Context();
  await using listener = ctx.listen({ ...local, tickInterval: 1 });
  listener.on({
    onHandshake: () => ({ headers: { "X-Later": "yes" } }),
    onConnect(conn) {
      events.push("connect");
      conn.on({ onMessage: (_conn, data) => events.push(`message ${data}`) });
    },
  });
  const conn = ctx.connect(listener.url);
  assertEquals((await conn.opened).headers.get("X-Later"), "yes");
  conn.send("hello");
  assertEquals(await events.take(2), ["connect", "message hello"]);
  listener.on({
    onTick() {
      listener.on({ onTick: () => {} });
      events.push("tick");
    },
    onShutdown: () => events.push("shutdown"),
  });
  assertEquals(await events.next(), "tick");
  await listener.shutdown();
  assertEquals(await events.next(), "shutdown");
  assertThrows(() => listener.on({ onTick: 1 as never }), TypeError, "onTick");
});

Deno.test("N7 connections: the listener and the context have the sets", async () => {
  await using both = await pair();
  assertEquals([...both.listener.connections], [both.server]);
  assertEquals(both.ctx.connections.size, 2);
  both.client.close();
  await Promise.all([both.client.closed, both.server.closed]);
  assertEquals(both.listener.connections.size + both.ctx.connections.size, 0);
});

Deno.test("N8 disconnect: terminate() ends at once, close(code, reason) with a handshake", async () => {
  await using one = await pair();
  one.server.terminate();
  assertEquals(one.server.state, "closed");
  assertEquals((await one.client.closed).code, 1006);
  await using two = await pair();
  two.server.close(4001, "go");
  const { code, reason } = await two.client.closed;
  assertEquals([code, reason], [4001, "go"]);
});

Deno.test("N9 shutdown: the socket is closed, all clients are disconnected cleanly, and finished resolves", async () => {
  await using both = await pair();
  assertEquals(await both.listener.shutdown(), { clean: 1, terminated: 0 });
  await both.listener.finished;
  assertEquals((await both.client.closed).code, 1001);
  await assertRejects(
    () => Deno.connect({ hostname: "127.0.0.1", port: both.listener.port }),
    Deno.errors.ConnectionRefused,
  );
});

Deno.test("N10 on_shutdown($server): connections are still usable in it", async () => {
  for (const whole of [false, true]) {
    const got = new Events<unknown>();
    await using both = await pair({
      async onShutdown(listener) {
        for (const conn of listener.connections) {
          conn.send("last words");
          // A round trip shows that the connection is open in both directions.
          await conn.ping();
          await conn.drained();
        }
      },
    }, { onMessage: (_conn, data) => got.push(data) });
    const { ctx, listener } = both;
    const result = await (whole ? ctx.shutdown() : listener.shutdown());
    assertEquals(got.all, ["last words"]);
    assertEquals(result.terminated, 0);
    assertEquals((await both.client.closed).code, 1001);
  }
});

Deno.test("N10 on_shutdown: a callback that throws, hangs or shuts down again doesn't affect the shutdown", async () => {
  const ctx = new Context();
  const hanging = ctx.listen({ ...local, onShutdown: () => new Promise(() => {}) });
  assertEquals(await hanging.shutdown({ timeout: 1 }), { clean: 0, terminated: 0 });
  const calls = new Events<string>();
  const again = ctx.listen({
    ...local,
    onShutdown(listener) {
      calls.push("called");
      listener.shutdown();
      ctx.shutdown();
    },
  });
  await again.shutdown();
  await ctx.shutdown();
  assertEquals(calls.all, ["called"]);
});

Deno.test("N11 watch_readable: other streams can be watched, slow callbacks stop them, and unwatch releases them", async () => {
  const ctx = new Context();
  const chunks = new Events<string>();
  const release = Promise.withResolvers<void>();
  let pulls = 0;
  const stream = new ReadableStream<string>({
    pull: (controller) => controller.enqueue(`chunk ${++pulls}`),
  }, { highWaterMark: 0 });
  const watch = ctx.watchReadable(stream, async (chunk) => {
    chunks.push(chunk);
    if (chunks.all.length === 2) await release.promise;
  });
  assertEquals([...ctx.watched], [watch]);
  await chunks.take(2);
  assertEquals([pulls, stream.locked, watch.stream === stream], [2, true, true]);
  release.resolve();
  await chunks.next();
  watch.unwatch();
  await watch.finished;
  assertEquals([ctx.watched.size, stream.locked], [0, false]);
  // The rest belongs to the owner of the stream.
  const reader = stream.getReader();
  assert((await reader.read()).value!.startsWith("chunk "));
  reader.releaseLock();
  assertThrows(() => ctx.watchReadable(stream, null as never), TypeError, "callback");
  assertThrows(
    () => ctx.watchReadable({} as never, () => {}),
    TypeError,
    "not a stream of that direction",
  );
  await ctx.shutdown();
  assertThrows(() => ctx.watchReadable(stream, () => {}), Error, "shut down");
});

Deno.test("N11 watching ends with the stream, with its error, and with the context", async () => {
  const ctx = new Context();
  await ctx.watchReadable(ReadableStream.from(["a"]), () => {}).finished;
  const failing = new ReadableStream({ pull: (controller) => controller.error(new Error("torn")) });
  await assertRejects(() => ctx.watchReadable(failing, () => {}).finished, Error, "torn");
  const cancelled = Promise.withResolvers<void>();
  const endless = ctx.watchReadable(
    new ReadableStream({ cancel: () => cancelled.resolve() }),
    () => {},
  );
  await ctx.shutdown();
  // A pending read of a terminal would keep the process alive.
  await cancelled.promise;
  await endless.finished;
  assertEquals(ctx.watched.size, 0);
});

Deno.test("N11 watch_writable: the callback is called only when there is room", async () => {
  const ctx = new Context();
  const taken = new Events<string>();
  const gate = Promise.withResolvers<void>();
  let calls = 0;
  const stream = new WritableStream<string>({
    async write(chunk) {
      taken.push(chunk);
      if (taken.all.length === 1) await gate.promise;
    },
  }, { highWaterMark: 1 });
  const idle = Promise.withResolvers<WritableStreamDefaultWriter<string>>();
  const watch = ctx.watchWritable(stream, (writer) => {
    if (++calls <= 2) writer.write(`chunk ${calls}`);
    else idle.resolve(writer);
  });
  await taken.next();
  // The sink is busy with the first chunk, so there is no room for a second one.
  assertEquals(calls, 1);
  gate.resolve();
  assertEquals(await taken.next(), "chunk 2");
  const writer = await idle.promise;
  await busy();
  assertEquals(calls, 3);
  await writer.write("by hand");
  await taken.next();
  await busy();
  assertEquals(calls, 4);
  watch.unwatch();
  assertEquals([ctx.watched.size, stream.locked], [0, false]);
  await ctx.shutdown();
});

Deno.test("N12 handshake($conn, $handshake): the callback gets the request, and may refuse", async () => {
  const ctx = new Context();
  const paths = new Events<string>();
  await using listener = ctx.listen({
    ...local,
    async onHandshake(request, info) {
      paths.push(`${new URL(request.url).pathname} ${request.headers.get("X-Token")}`);
      assertEquals((info.remoteAddr as Deno.NetAddr).hostname, "127.0.0.1");
      return await Promise.resolve(request.headers.get("X-Token") === "good");
    },
  });
  const good = ctx.connect(`${listener.url}a`, { headers: { "X-Token": "good" } });
  await good.opened;
  good.close();
  const bad = ctx.connect(`${listener.url}b`, { headers: { "X-Token": "bad" } });
  const error = await assertRejects(() => bad.opened, HandshakeError);
  assertEquals((error as HandshakeError).status, 403);
  assertEquals(paths.all, ["/a good", "/b bad"]);
});

Deno.test("N13 utf8, binary, pong, ready, disconnect: the corresponding callbacks are called", async () => {
  const events = new Events<string>();
  await using both = await pair({
    onConnect: () => void events.push("ready"),
    onMessage: (_conn, data) => events.push(typeof data === "string" ? "utf8" : "binary"),
    onPong: () => events.push("pong"),
    onClose: (_conn, { code, reason }) => events.push(`disconnect ${code} ${reason}`),
  });
  both.client.send("t");
  both.client.send(new Uint8Array(1));
  assertEquals(await events.take(3), ["ready", "utf8", "binary"]);
  both.client.pong();
  assertEquals(await events.next(), "pong");
  both.client.close(1000, "bye");
  assertEquals(await events.next(), "disconnect 1000 bye");
});

Deno.test("N14 send_utf8, send_binary, send(type, data): sendText, sendBinary and send correspond to them", async () => {
  await using both = await pair();
  both.client.sendText("text");
  both.client.sendBinary(new Uint8Array([1]));
  both.client.send("either");
  const got = [];
  for (let i = 0; i < 3; i++) got.push(await both.server.receive());
  assertEquals(got, ["text", new Uint8Array([1]), "either"]);
  assertThrows(() => both.client.sendText(new Uint8Array([0xff])), TypeError, "not UTF-8");
});

Deno.test("N15 ip, port, server, nodelay, max_send_size, max_recv_size: properties and options correspond to them", async () => {
  const lengths = new Events<number>();
  await using both = await pair({
    maxMessageSize: 1024 * 1024,
    onMessage: () => {},
    onFrameStart: (_conn, { length }) => lengths.push(length),
  });
  const { client, server, listener } = both;
  const remote = server.remoteAddress as Deno.NetAddr;
  assertEquals(remote, client.localAddress as Deno.NetAddr);
  assertEquals([remote.hostname, typeof remote.port], ["127.0.0.1", "number"]);
  assertEquals((server.localAddress as Deno.NetAddr).port, listener.port);
  assertEquals([server.listener, client.listener], [listener, null]);
  // A large message is sent in frames, between which a ping may be sent.
  await client.sendStream([new Uint8Array(100 * 1024)]);
  assertEquals(await lengths.take(3), [64 * 1024, 36 * 1024, 0]);
  client.send(new Uint8Array(1024 * 1024 + 1));
  assertEquals((await client.closed).code, 1009);
});

Deno.test("N16 origin test in the handshake: the option origins refuses", async () => {
  const ctx = new Context();
  await using listener = ctx.listen({ ...local, origins: ["https://good.example"] });
  for (const [origin, status] of [["https://good.example", 101], ["https://evil.example", 403]]) {
    using peer = await rawClient(listener.port, { Origin: `${origin}` });
    assertEquals(Number(peer.head.slice(9, 12)), status);
  }
  for (const conn of listener.connections) conn.terminate();
});

Deno.test("N17 a vanished peer doesn't end the process, and gives 1006 with the cause", async () => {
  const ctx = new Context();
  const accepted = Promise.withResolvers<Connection>();
  await using listener = ctx.listen({
    ...local,
    maxQueueBytes: 0,
    onConnect: (conn) => accepted.resolve(conn),
    onError: () => {},
  });
  const peer = await rawClient(listener.port);
  const conn = await accepted.promise;
  // Unread input makes the kernel reset the connection.
  conn.send(new Uint8Array(8 * 1024 * 1024));
  peer.close();
  const { code, cause, unsentMessages } = await conn.closed;
  assertEquals([code, cause instanceof Error, unsentMessages], [1006, true, 1]);
});

Deno.test("N17 messages that arrived before the peer vanished are delivered", async () => {
  const ctx = new Context();
  const got = new Events<unknown>();
  await using listener = ctx.listen({
    ...local,
    onMessage: (_conn, data) => got.push(data),
    onError: () => {},
  });
  const peer = await rawClient(listener.port);
  await peer.send(frame(TEXT, "one"), frame(TEXT, "two"));
  peer.close();
  assertEquals(await got.take(2), ["one", "two"]);
});
