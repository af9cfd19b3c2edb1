import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type CloseRecord,
  type Connection,
  Context,
  type ContextOptions,
  HandshakeError,
  UnsupportedError,
  type UpgradeOptions,
} from "../../mod.ts";
import { failure, mayFail } from "../support/failure.ts";
import { pattern } from "../transport/streams.ts";
import { BINARY, CLOSE, frame, readClose } from "../support/frames.ts";
import { RawPeer, upgradeRequest } from "../support/raw_peer.ts";
import { run } from "../support/child.ts";
import { echoing, exercise, ROOM } from "./_exercise.ts";
import { standstill, turn, until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual_clock.ts";

/** A `Deno.serve` that upgrades its requests with `options`. */
function serve(ctx: Context, options: UpgradeOptions): {
  url: string;
  accepted: Promise<Connection>;
} & AsyncDisposable {
  const { promise, resolve } = Promise.withResolvers<Connection>();
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const { response, connection } = ctx.upgrade(request, options);
    resolve(connection);
    return response;
  });
  return {
    url: `ws://127.0.0.1:${server.addr.port}/path?x=1`,
    accepted: promise,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

Deno.test("upgrade gives the same kind of connection", async () => {
  await using ctx = new Context({ compression: true, onPing: () => {} });
  const ended = Promise.withResolvers<CloseRecord>();
  await using server = serve(ctx, {
    ...echoing(ended.resolve),
    maxHeldBytes: 16 << 20,
    protocols: ["b", "a"],
    headers: { "x-served-by": "us" },
  });
  const client = ctx.connect(server.url, { ...ROOM, protocols: ["a", "b"] });
  await client.opened;
  const conn = await server.accepted;
  assertEquals([conn.role, conn.protocol, client.protocol], ["server", "b", "b"]);
  assertEquals(client.responseHeaders?.get("x-served-by"), "us");
  assertEquals(new URL(conn.request!.url).search, "?x=1");
  assertEquals(conn.url, server.url);
  await exercise(client);
  const record = await ended.promise;
  assertEquals([record.code, record.reason, record.wasClean], [4001, "bye", true]);
});

Deno.test("upgrade: either end closes with a code and a reason", async () => {
  await using ctx = new Context();
  for (const code of [1000, 1001, 1008, 1011, 3000, 4999]) {
    await using server = serve(ctx, { onConnect: (conn) => conn.close(code, "why") });
    const client = ctx.connect(server.url);
    const record = await client.closed;
    assertEquals([record.code, record.reason, record.wasClean], [code, "why", true]);
    const ours = await (await server.accepted).closed;
    assertEquals([ours.code, ours.initiator, ours.wasClean], [code, "local", true]);
  }
  await using server = serve(ctx, {});
  const client = ctx.connect(server.url);
  await client.opened;
  client.terminate();
  assertEquals((await (await server.accepted).closed).code, 1006);
});

Deno.test("upgrade: the queue for a client that doesn't read drains, and is limited", async () => {
  await using ctx = new Context();
  let drains = 0;
  await using server = serve(ctx, { onDrain: () => void drains++, maxQueueBytes: 16 << 20 });
  const client = ctx.connect(server.url, { ...ROOM });
  await client.opened;
  const conn = await server.accepted;
  await conn.opened;
  client.pause();
  const chunk = pattern(64 * 1024);
  let sent = 0;
  while (conn.queuedBytes <= 8 << 20) {
    conn.send(chunk);
    sent++;
    if (sent % 16 === 0) await turn();
  }
  assertEquals(conn.send(chunk), false);
  sent++;
  const error = assertThrows(() => conn.send(new Uint8Array(16 << 20))) as unknown as Error;
  assertEquals(error.name, "QueueFullError");
  const before = drains;
  const drained = conn.drained();
  client.resume();
  for (let i = 0; i < sent; i++) await client.receive();
  await drained;
  assert(drains > before);
  assertEquals(conn.queuedBytes, 0);
});

Deno.test("upgrade: a pause holds messages, and too many held messages close with 1013", async () => {
  await using ctx = new Context();
  const got: number[] = [];
  await using server = serve(ctx, {
    onMessage: (_conn, data) => void got.push(data.length),
    maxHeldBytes: 512 * 1024,
  });
  const client = ctx.connect(server.url);
  await client.opened;
  const conn = await server.accepted;
  conn.pause();
  for (let i = 0; i < 4; i++) client.send(pattern(50_000 + i));
  await client.drained();
  await standstill(() => client.stats().bytesSent);
  assertEquals(got, []);
  conn.resume();
  await until(() => got.length === 4);
  assertEquals(got, [50_000, 50_001, 50_002, 50_003]);
  conn.pause();
  // Deno's WebSocket closes cleanly only while no message arrives.
  client.send(pattern(600_000));
  assertEquals((await client.closed).code, 1013);
  await conn.closed;
});

Deno.test("upgrade: terminate ends the connection at once for the application", async () => {
  await using ctx = new Context();
  await using server = serve(ctx, {});
  const client = ctx.connect(server.url);
  await client.opened;
  const conn = await server.accepted;
  await conn.opened;
  conn.terminate();
  assertEquals((await conn.closed).code, 1006);
  await client.closed;
});

Deno.test("upgrade: a message over maxMessageSize closes with 1009", async () => {
  await using ctx = new Context();
  await using server = serve(ctx, { maxMessageSize: 1000 });
  const client = ctx.connect(server.url);
  await client.opened;
  client.send(new Uint8Array(1001));
  assertEquals((await client.closed).code, 1009);
});

Deno.test("upgrade: methods that need frames throw, and name the functions whose connections support them", async () => {
  await using ctx = new Context();
  const request = new Request("http://x/");
  for (
    const options of [
      { compression: true },
      { onPing: () => {} },
      { onPong: () => {} },
      { allowRsv: { rsv1: true } },
      { assemble: false },
      { rateLimit: { messages: 1 } },
      { onFrameStart: () => {} },
      { onFrameChunk: () => {} },
      { onFrameEnd: () => {} },
    ]
  ) {
    const error = assertThrows(() => ctx.upgrade(request, options as UpgradeOptions)) as unknown;
    assert(error instanceof UnsupportedError && /use listen or adopt/.test(error.message));
  }
  assertThrows(() => ctx.upgrade(request), TypeError);
  assertThrows(() => ctx.upgrade(1 as unknown as Request), TypeError, "Cannot upgrade 1: use");
  await using server = serve(ctx, {});
  const client = ctx.connect(server.url);
  await client.opened;
  const conn = await server.accepted;
  await conn.opened;
  assertEquals((await failure(Promise.resolve().then(() => conn.ping()))).name, "UnsupportedError");
  assertThrows(() => conn.pong(), UnsupportedError, "listen or adopt");
  assertThrows(() => conn.shutdownWrite(), UnsupportedError, "listen or adopt");
  assertThrows(() => conn.unref(), UnsupportedError, "listen or adopt");
  for (const name of ["onPing", "onPong", "onFrameStart", "onFrameChunk", "onFrameEnd"]) {
    assertThrows(() => conn.on({ [name]: () => {} }), UnsupportedError, `set ${name}`);
  }
  conn.on({ onMessage: () => {} });
  conn.ref();
  const frame = { opcode: 1, payload: "x", fin: true } as Parameters<typeof conn.sendFrame>[0];
  assertThrows(() => conn.sendFrame(frame), UnsupportedError, "listen or adopt");
  // The runtime answers the client's pings.
  assert(await client.ping() >= 0);
});

Deno.test("upgrade: unsupported options may be switched off, and are ignored as defaults of the context", async () => {
  const never = () => assertEquals("called", "not called");
  const settings: ContextOptions[] = [
    { assemble: false, onFrameStart: never, onFrameChunk: never, onFrameEnd: never },
    { compression: true, onPing: never, onPong: never, keepAlive: { interval: 60_000 } },
    { allowRsv: { rsv1: true, rsv2: true }, rateLimit: { messages: 1 } },
  ];
  for (const options of settings) {
    await using ctx = new Context(options);
    await using server = serve(ctx, {
      compression: false,
      assemble: true,
      rateLimit: undefined,
      onMessage: (conn, data, ...rest) => {
        assertEquals(rest.filter((header) => header !== undefined), []);
        conn.send(data);
      },
    });
    await using plain = new Context();
    await using client = plain.connect(server.url);
    await client.opened;
    for (let i = 0; i < 5; i++) client.send(`${i}`);
    for (let i = 0; i < 5; i++) assertEquals(await client.receive(), `${i}`);
    assertEquals((await server.accepted).extensions, "");
  }
});

Deno.test("upgrade: unsupported methods throw while connecting, too", async () => {
  await using ctx = new Context();
  const states: string[] = [];
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) => {
      const { response, connection } = ctx.upgrade(request);
      states.push(connection.state);
      assertThrows(() => connection.on({ onPing: () => {} }), UnsupportedError);
      assertThrows(() => connection.unref(), UnsupportedError);
      return response;
    },
  );
  await using client = ctx.connect(`ws://127.0.0.1:${server.addr.port}/`);
  await client.opened;
  assertEquals(states, ["connecting"]);
});

Deno.test("upgrade: the close frame is sent while the peer is sending", async () => {
  await using ctx = new Context();
  await using server = serve(ctx, { onMessage: (conn) => conn.close(4001, "enough") });
  using peer = await RawPeer.connect(Number(new URL(server.url).port));
  await peer.send(...Array.from({ length: 2000 }, () => frame(BINARY, "x")));
  assertEquals(readClose((await peer.next(CLOSE)).payload), { code: 4001, reason: "enough" });
});

Deno.test("upgrade: a response that isn't returned, and a client that disconnects before, end the connection", async () => {
  await using ctx = new Context();
  const errors: unknown[] = [], closed: Promise<CloseRecord>[] = [];
  const upgrading = Promise.withResolvers<void>();
  // Deno's shutdown would wait for ever for the response to the client that has disconnected.
  const abort = new AbortController();
  const server = Deno.serve({
    signal: abort.signal,
    port: 0,
    hostname: "127.0.0.1",
    onListen: () => {},
    onError: () => new Response("", { status: 500 }),
  }, async (request) => {
    const { response, connection } = ctx.upgrade(request, {
      handshakeTimeout: 100,
      onError: (_conn, error) => void errors.push(error),
    });
    closed.push(connection.closed);
    upgrading.resolve();
    const error = await failure(connection.opened);
    assertEquals((error as Error).name, "TimeoutError");
    return response;
  });
  const peer = await RawPeer.dial(server.addr.port);
  await peer.write(upgradeRequest());
  await upgrading.promise;
  peer.close();
  assertEquals((await closed[0]).code, 1006);
  assertEquals(errors.map(String), ["TimeoutError: The response wasn't sent within 100 ms"]);
  abort.abort();
});

/** The response to a handshake with an `Origin` and a `Cookie`, and the events of the connection. */
async function answerTo(
  options: UpgradeOptions,
  origin: string | null,
): Promise<{ status: number; log: string[]; conn: Connection | null }> {
  await using ctx = new Context();
  const log: string[] = [];
  let conn: Connection | null = null;
  let thrown: unknown = null;
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) => {
      try {
        const { response, connection } = ctx.upgrade(request, {
          ...options,
          onError: (of, error) => void log.push(`${of === conn} ${error}`),
          onClose: (_conn, record) => void log.push(String(record.code)),
        });
        conn = connection;
        assertEquals([conn.state, log], ["connecting", []], "callbacks must be called later");
        return response;
      } catch (error) {
        thrown = error;
        return new Response(String(error), { status: 500 });
      }
    },
  );
  const peer = await RawPeer.dial(server.addr.port);
  await peer.write(upgradeRequest({ Origin: origin, Cookie: "session=1" }));
  await peer.readHead();
  const status = Number(peer.head.slice(9, 12));
  if (status === 403) {
    const error = await failure(conn!.opened);
    assert(error instanceof HandshakeError);
    assertEquals(error.status, 403);
    await conn!.closed;
  }
  peer.close();
  if (thrown !== null) log.push(String(thrown));
  return { status, log, conn };
}

Deno.test("fault 60: upgrade refuses pages of other origins, as listen does", async () => {
  const refused = {
    status: 403,
    log: ["true HandshakeError: Refused a handshake with 403: The origin is not allowed", "1006"],
  };
  const ours = "https://example.com", theirs = "https://evil.example";
  for (
    const origins of [
      [ours],
      [/^https:\/\/example\.com$/g],
      /^https:\/\/example\.com$/g,
      (origin: string) => origin === ours,
    ]
  ) {
    for (let round = 0; round < 2; round++) {
      assertEquals((await answerTo({ origins }, ours)).status, 101);
      assertEquals((await answerTo({ origins }, null)).status, 101);
      const { status, log, conn } = await answerTo({ origins }, theirs);
      assertEquals({ status, log }, refused);
      assertEquals([conn!.state, (await conn!.closed).code], ["closed", 1006]);
      assertEquals((await answerTo({ origins }, "null")).status, 403);
    }
  }
  assertEquals((await answerTo({ origins: ["null"] }, "null")).status, 101);
  assertEquals((await answerTo({ origins: [] }, ours)).status, 403);
});

Deno.test("fault 60: origins that are invalid, throw or return a promise make the call throw, and no client is accepted", async () => {
  for (
    const [origins, message] of [
      [["example.com"], "Cannot use"],
      [1, "Cannot use"],
      [() => {
        throw new Error("no database");
      }, "no database"],
      [() => Promise.resolve(true), "that return a promise"],
      [() => Promise.reject(new Error("later")), "that return a promise"],
    ] as const
  ) {
    const options = { origins } as unknown as UpgradeOptions;
    const { status, log } = await answerTo(options, "https://example.com");
    assertEquals(status, 500);
    assert(log.length === 1 && log[0].includes(message), String(log));
  }
});

Deno.test("fault 60: cookies without the option origins lead to one warning, with it to none", async () => {
  const { code, stderr } = await run(new URL("./programs/upgrade_cookie.ts", import.meta.url));
  assertEquals(code, 0);
  assertEquals(stderr.match(/cross-site WebSocket hijacking/g)?.length, 1, stderr);
});

Deno.test("upgrade: a selectProtocol that returns a promise throws", async () => {
  await using ctx = new Context();
  const request = new Request("http://x/", { headers: { "sec-websocket-protocol": "a" } });
  for (const select of [() => Promise.resolve("a"), () => Promise.reject(new Error("later"))]) {
    const options = { selectProtocol: select } as unknown as UpgradeOptions;
    assertThrows(() => ctx.upgrade(request, options), TypeError, "returns a promise");
  }
});

Deno.test("upgrade: sendTimeout doesn't end a connection to a slow but steady reader", async () => {
  using clock = new VirtualClock();
  await using ctx = new Context();
  const ended = Promise.withResolvers<CloseRecord>();
  await using server = serve(ctx, {
    ...ROOM,
    sendTimeout: 400,
    // Deno's WebSocket reports progress message by message.
    onConnect: (conn) => {
      for (let i = 0; i < 24; i++) conn.send(new Uint8Array(1 << 20));
    },
    onClose: (_conn, record) => ended.resolve(record),
  });
  using peer = await RawPeer.connect(Number(new URL(server.url).port));
  const conn = await server.accepted;
  await conn.opened;
  // The peer reads 24 MiB in more than a second, without long breaks. Some bytes came with the head.
  const buffer = new Uint8Array(512 * 1024);
  for (let taken = 0; taken < (24 << 20) - (64 << 10);) {
    const count = await clock.during(peer.conn.read(buffer), 30);
    if (count === null) throw new Error("The connection was ended");
    taken += count;
    await clock.advance(30);
  }
  assertEquals(conn.state, "open");
  // A peer that reads nothing at all is disconnected.
  conn.send(new Uint8Array(24 << 20));
  const { cause } = await clock.during(ended.promise);
  assertEquals((cause as Error).name, "TimeoutError");
});

Deno.test("upgrade: fragments are sent as one message, and streams work", async () => {
  await using ctx = new Context();
  await using server = serve(ctx, {
    ...ROOM,
    onConnect: (conn) => {
      conn.sendFragment("one ");
      conn.sendFragment("two", { final: true });
      mayFail(conn.readable.pipeTo(conn.writable), "it ends with the connection");
    },
  });
  await using client = ctx.connect(server.url, { ...ROOM });
  assertEquals(await client.receive(), "one two");
  client.send(pattern(1 << 20));
  assertEquals((await client.receive()).length, 1 << 20);
});

Deno.test("upgrade: Deno's own client exchanges messages", async () => {
  await using ctx = new Context();
  await using server = serve(ctx, echoing());
  const socket = new WebSocket(server.url);
  socket.binaryType = "arraybuffer";
  const got = await new Promise((resolve) => {
    socket.onopen = () => socket.send("hello");
    socket.onmessage = ({ data }) => resolve(data);
  });
  assertEquals(got, "hello");
  const closed = new Promise((resolve) => socket.onclose = resolve);
  socket.close();
  await closed;
  assertEquals((await (await server.accepted).closed).code, 1005);
});
