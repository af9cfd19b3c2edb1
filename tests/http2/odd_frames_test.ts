// What a peer may send at odd moments, against both of our roles: frames of HTTP/2 written byte by byte.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { type CloseRecord, type Connection, type ConnectionOptions, Context } from "../../mod.ts";
import { concat, repeat, utf8 } from "../support/bytes.ts";
import { EventLog } from "../support/event_log.ts";
import { failure } from "../support/failure.ts";
import { closeFrame, frame, masked, TEXT } from "../support/frames.ts";
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  fieldBlock,
  GOAWAY,
  HEADERS,
  http2Certificates,
  http2Frame,
  PING,
  PUSH_PROMISE,
  RawHttp2,
  RST_STREAM,
  serverSettings,
  setting,
  SETTINGS,
  uint32,
  WINDOW_UPDATE,
} from "../support/http2_peer.ts";
import { standstill } from "../support/until.ts";

const ROLES = ["server", "client"] as const;
type Role = typeof ROLES[number];

interface Opened extends AsyncDisposable {
  ctx: Context;
  conn: Connection;
  peer: RawHttp2;
  got: EventLog<unknown>;
  /** A message as a frame of the peer's. */
  message(text: string): Uint8Array;
  /** A close frame of the peer's. */
  close(): Uint8Array;
}

const WEBSOCKET = fieldBlock(
  [":method", "CONNECT"],
  [":protocol", "websocket"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "h"],
  ["sec-websocket-version", "13"],
);
const GET = fieldBlock([":method", "GET"], [":scheme", "https"], [":path", "/"], [
  ":authority",
  "h",
]);
const OK = fieldBlock([":status", "200"]);

function goaway(last: number, code: number): Uint8Array {
  return http2Frame(GOAWAY, 0, 0, concat(uint32(last), uint32(code), utf8("why")));
}

function tlsListener(): Deno.TlsListener {
  const { server: { cert, key } } = http2Certificates();
  return Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert, key, alpnProtocols: ["h2"] });
}

function urlOf(listener: Deno.TlsListener): string {
  return `wss://localhost:${(listener.addr as Deno.NetAddr).port}/`;
}

function client(): Context {
  return new Context({ tls: { caCerts: [http2Certificates().ca] }, onError() {} });
}

/** A WebSocket of ours in a role, on stream 1. */
async function open(role: Role, options: ConnectionOptions = {}): Promise<Opened> {
  const got = new EventLog<unknown>();
  const ctx = client();
  const onMessage = (_: Connection, data: unknown) => void got.push(data);
  let peer: RawHttp2, conn: Connection;
  if (role === "server") {
    const opened = new EventLog<Connection>();
    const onConnect = (conn: Connection) => opened.push(conn);
    const { port } = ctx.listen({
      hostname: "127.0.0.1",
      http2: true,
      onConnect,
      onMessage,
      ...options,
    });
    peer = await RawHttp2.connect(port);
    await peer.write(http2Frame(HEADERS, END_HEADERS, 1, WEBSOCKET));
    await peer.next(HEADERS);
    conn = await opened.next();
  } else {
    using listener = tlsListener();
    conn = ctx.connect(urlOf(listener), { http2: true, onMessage, ...options });
    peer = await RawHttp2.accept(listener);
    await peer.next(HEADERS);
    await peer.write(http2Frame(HEADERS, END_HEADERS, 1, OK));
    await conn.opened;
  }
  return {
    ctx,
    conn,
    peer,
    got,
    close: () => role === "server" ? masked(closeFrame(1000)) : closeFrame(1000),
    message: (text) => role === "server" ? masked(frame(TEXT, text)) : frame(TEXT, text),
    async [Symbol.asyncDispose]() {
      await ctx.shutdown({ timeout: 0 });
      peer.close();
    },
  };
}

const BIG = uint32(0x7fffffff);

/** What ends the stream, or the connection, by the letter of RFC 9113. */
const WRONG: [name: string, ...frames: Uint8Array[]][] = [
  ["HEADERS in the middle", http2Frame(HEADERS, END_HEADERS, 1, fieldBlock(["trailer", "x"]))],
  ["trailers", http2Frame(HEADERS, END_HEADERS | END_STREAM, 1, fieldBlock(["trailer", "x"]))],
  ["DATA after END_STREAM", http2Frame(DATA, END_STREAM, 1), http2Frame(DATA, 0, 1, utf8("late"))],
  ["a reset without an error", http2Frame(RST_STREAM, 0, 1, uint32(0))],
  ["a reset with an unknown code", http2Frame(RST_STREAM, 0, 1, BIG)],
  ["an overflow of the stream's window", http2Frame(WINDOW_UPDATE, 0, 1, BIG)],
  ["an overflow of the connection's window", http2Frame(WINDOW_UPDATE, 0, 0, BIG)],
  ["an overflow of the window by SETTINGS", http2Frame(SETTINGS, 0, 0, setting(4, 0x80000000))],
  ["an increment of 0", http2Frame(WINDOW_UPDATE, 0, 1, uint32(0))],
  ["DATA on a stream that nobody has opened", http2Frame(DATA, 0, 7, utf8("x"))],
  ["a reset of a stream that nobody has opened", http2Frame(RST_STREAM, 0, 7, uint32(8))],
  ["a frame that is too long", http2Frame(DATA, 0, 1, new Uint8Array(16_385))],
  ["padding longer than its frame", http2Frame(DATA, 8, 1, Uint8Array.of(200, 1, 2))],
  [
    "PUSH_PROMISE, which our settings forbid",
    http2Frame(SETTINGS, ACK, 0),
    http2Frame(PUSH_PROMISE, END_HEADERS, 1, concat(uint32(2), GET)),
  ],
];

for (const role of ROLES) {
  for (const [name, ...frames] of WRONG) {
    Deno.test(`a ${role} ends with 1006 at ${name}`, async () => {
      await using it = await open(role);
      const { conn, peer } = it;
      const ended = peer.end();
      await peer.write(...frames).catch(() => {});
      const record: CloseRecord = await conn.closed;
      assertEquals([record.code, record.wasClean, record.initiator], [1006, false, null]);
      assertMatch(
        String(record.cause),
        /HTTP\/2 (stream was reset|connection has ended)|without a close frame/,
      );
      await it.ctx.shutdown({ timeout: 0 });
      await ended;
    });
  }

  Deno.test(`a ${role} resets a stream that brings more DATA than its window takes`, async () => {
    await using it = await open(role);
    const { conn, peer } = it;
    conn.pause();
    const message = it.message("x".repeat(1 << 20));
    const parts: Uint8Array[] = [];
    for (let at = 0; at < message.length; at += 16_384) {
      parts.push(http2Frame(DATA, 0, 1, message.subarray(at, at + 16_384)));
    }
    await peer.write(...parts);
    const { payload } = await peer.next(RST_STREAM);
    assertEquals(payload, uint32(3)); // FLOW_CONTROL_ERROR
    assert(conn.stats().bytesReceived <= 256 * 1024);
    // It is noticed by reading on, as with every other kind of stream.
    conn.resume();
    assertEquals((await conn.closed).code, 1006);
  });

  for (const code of [0, 2, 11]) {
    Deno.test(`a ${role} lives through GOAWAY ${code} amid other frames, and what is open goes on`, async () => {
      const bye = goaway(1, code);
      const rest = (it: Opened) =>
        concat(
          bye,
          http2Frame(SETTINGS, 0, 0),
          http2Frame(SETTINGS, ACK, 0),
          http2Frame(PING, 0, 0, new Uint8Array(8)),
          bye,
          http2Frame(DATA, 0, 1, it.message("still here")),
          bye,
        );
      for (const size of [1, 4, 7, 13, 1000]) {
        await using it = await open(role);
        const bytes = rest(it);
        for (let at = 0; at < bytes.length; at += size) {
          await it.peer.write(bytes.subarray(at, at + size));
        }
        assertEquals(await it.got.next(), "still here");
        it.conn.send("answer");
        await it.peer.next(DATA);
        it.peer.close();
        const record = await it.conn.closed;
        assertEquals(record.code, 1006);
        const name = { 0: "NO_ERROR", 2: "INTERNAL_ERROR", 11: "ENHANCE_YOUR_CALM" }[code];
        assertMatch(String(record.cause), new RegExp(`has ended, after GOAWAY with ${name}`));
      }
    });
  }

  Deno.test(`a ${role} that its own callback ends amid a read lives on`, async () => {
    await using it = await open(role);
    const { conn, peer, message } = it;
    conn.on({ onMessage: (conn) => conn.terminate() });
    await peer.write(
      http2Frame(DATA, 0, 1, message("ends it")),
      http2Frame(DATA, 0, 1, message("too late")),
      http2Frame(RST_STREAM, 0, 1, uint32(8)),
      http2Frame(PING, 0, 0, new Uint8Array(8)),
    );
    assertEquals((await conn.closed).code, 1006);
    await it.ctx.shutdown({ timeout: 0 });
    await peer.end();
  });

  Deno.test(`a ${role} that shuts down amid a read lives on`, async () => {
    await using it = await open(role);
    const { ctx, conn, peer, message } = it;
    const down = Promise.withResolvers<unknown>();
    conn.on({ onMessage: () => down.resolve(ctx.shutdown({ timeout: 0 })) });
    await peer.write(
      http2Frame(DATA, 0, 1, message("ends all")),
      http2Frame(SETTINGS, 0, 0),
      http2Frame(DATA, 0, 1, message("too late")),
      http2Frame(PING, 0, 0, new Uint8Array(8)),
    );
    await down.promise;
    await peer.end();
  });

  Deno.test(`a ${role} ends its connection after the last stream, if that is reset, too`, async () => {
    await using it = await open(role);
    const { ctx, conn, peer } = it;
    const down = role === "server" ? ctx.shutdown({ timeout: Infinity }) : null;
    // A server says so before; a client needs the connection no longer.
    if (role === "server") await peer.next(GOAWAY);
    await peer.write(http2Frame(RST_STREAM, 0, 1, uint32(8)));
    assertEquals((await conn.closed).code, 1006);
    await peer.end();
    await down;
  });

  Deno.test(`a ${role} that is reset while it closes, or has its answer reset, ends once`, async () => {
    for (const byPeer of [true, false]) {
      await using it = await open(role);
      const { conn, peer } = it;
      if (!byPeer) conn.close(1000);
      else await peer.write(http2Frame(DATA, 0, 1, it.close()));
      await peer.next(DATA);
      await peer.write(http2Frame(RST_STREAM, 0, 1, uint32(8)));
      const record = await conn.closed;
      assertEquals([record.code, record.wasClean], byPeer ? [1000, true] : [1006, false]);
    }
  });

  for (
    const [what, options, begin, cause] of [
      [
        "data",
        { sendTimeout: 50 },
        (conn: Connection) => void conn.send("x"),
        /The peer read nothing/,
      ],
      [
        "a close frame",
        { closeTimeout: 50 },
        (conn: Connection) => conn.close(),
        /Not closed within/,
      ],
      [
        "a ping of keepalive",
        { keepAlive: { interval: 20, timeout: 50 } },
        () => {},
        /./,
      ],
    ] as const
  ) {
    Deno.test(`a ${role} whose peer opens no window for ${what} ends at its timeout`, async () => {
      await using it = await open(role, options);
      const { conn, peer } = it;
      await peer.write(http2Frame(SETTINGS, 0, 0, setting(4, 0)));
      await peer.next(SETTINGS);
      begin(conn);
      const record = await conn.closed;
      assertEquals([record.code, record.wasClean], [1006, false]);
      assertMatch(String(record.cause), cause);
      assertEquals((await peer.next(RST_STREAM)).payload, uint32(8)); // CANCEL
    });
  }

  Deno.test(`a ${role} whose peer takes its window away keeps its queue, and sends on when it is back`, async () => {
    await using it = await open(role);
    const { conn, peer } = it;
    await peer.write(http2Frame(SETTINGS, 0, 0, setting(4, 0)));
    await peer.next(SETTINGS);
    for (let n = 0; n < 10; n++) conn.send("x".repeat(1000));
    const drained = conn.drained();
    await peer.write(http2Frame(PING, 0, 0, new Uint8Array(8)));
    await peer.next(PING);
    assert(conn.queuedBytes > 0);
    await peer.write(http2Frame(SETTINGS, 0, 0, setting(4, 1 << 20)));
    await drained;
  });
}

Deno.test("a request's trailers end its body", async () => {
  await using ctx = client();
  const { port } = ctx.listen({
    hostname: "127.0.0.1",
    http2: true,
    handler: async (request) => new Response(`${request.method} ${await request.text()}`),
  });
  using peer = await RawHttp2.connect(port);
  const post = fieldBlock([":method", "POST"], [":scheme", "http"], [":path", "/"], [
    ":authority",
    "h",
  ]);
  await peer.write(
    http2Frame(HEADERS, END_HEADERS, 1, post),
    http2Frame(DATA, 0, 1, utf8("body")),
    http2Frame(HEADERS, END_HEADERS | END_STREAM, 1, fieldBlock(["trailer", "x"])),
  );
  assertEquals((await peer.next(DATA)).payload, utf8("POST body"));
});

for (
  const [name, bytes] of [
    ["SETTINGS", http2Frame(SETTINGS, 0, 0)],
    ["empty DATA", http2Frame(DATA, 0, 1)],
    ["unknown frames", http2Frame(77, 0, 0)],
    ["CONTINUATION", http2Frame(CONTINUATION, 0, 1)],
  ] as const
) {
  Deno.test(`a client ends at a flood of ${name}`, async () => {
    await using it = await open("client");
    const { conn, peer } = it;
    const ended = peer.end();
    const many = repeat(bytes, 1000);
    if (name === "CONTINUATION") await peer.write(http2Frame(HEADERS, 0, 1, OK));
    let over = false;
    conn.closed.then(() => over = true);
    while (!over) await peer.write(many).catch(() => over = true);
    assertEquals((await conn.closed).code, 1006);
    await it.ctx.shutdown({ timeout: 0 });
    await ended;
  });
}

Deno.test("a client holds back a server that floods it with PING and doesn't read the answers", async () => {
  await using it = await open("client");
  const pings = repeat(http2Frame(PING, 0, 0, new Uint8Array(8)), 1000);
  let written = 0;
  const writing = (async () => {
    for (; written < 20_000; written++) await it.peer.write(pings);
  })();
  writing.catch(() => {});
  const stood = await standstill(() => written);
  assert(stood < 2000, `${stood * pings.length} bytes were taken`);
  assertEquals(it.conn.state, "open");
  // The end of the connection can't be written either; it ends all the same.
  it.conn.terminate();
  await writing.catch(() => {});
});

Deno.test("a server that sends no settings is bounded by connectTimeout", async () => {
  await using ctx = client();
  using listener = tlsListener();
  const conn = ctx.connect(urlOf(listener), { http2: true, connectTimeout: 200 });
  using peer = await RawHttp2.accept(listener, new Uint8Array(0));
  assertMatch((await failure(conn.opened)).message, /waiting for the settings of HTTP\/2/);
  await peer.end();
});

Deno.test("a client refuses what a server pushes before it knows our settings", async () => {
  await using it = await open("client");
  const { peer, got, message } = it;
  for (const promised of [2, 4]) {
    await peer.write(
      http2Frame(PUSH_PROMISE, END_HEADERS, 1, concat(uint32(promised), GET)),
      http2Frame(HEADERS, END_HEADERS, promised, OK),
      http2Frame(DATA, 0, promised, utf8("pushed")),
    );
    assertEquals((await peer.next(RST_STREAM)).stream, promised);
  }
  await peer.write(http2Frame(DATA, 0, 1, message("still here")));
  assertEquals(await got.next(), "still here");
});

Deno.test("GOAWAY before there is a stream: the client dials anew, at most so often", async () => {
  await using ctx = client();
  using listener = tlsListener();
  const conn = ctx.connect(urlOf(listener), { http2: true });
  const peers: RawHttp2[] = [];
  for (let n = 0; n < 2; n++) {
    const peer = await RawHttp2.accept(listener);
    peers.push(peer);
    await peer.next(HEADERS);
    // It is refused unseen, whatever comes behind in the same read.
    await peer.write(
      goaway(0, n),
      http2Frame(SETTINGS, 0, 0),
      http2Frame(SETTINGS, ACK, 0),
      http2Frame(PING, 0, 0, new Uint8Array(8)),
    );
  }
  const last = await RawHttp2.accept(listener);
  peers.push(last);
  const { stream } = await last.next(HEADERS);
  await last.write(http2Frame(HEADERS, END_HEADERS, stream, OK));
  await conn.opened;
  for (const peer of peers.slice(0, 2)) await peer.end();
  for (const peer of peers) peer.close();
});

for (const window of [0, 65_535]) {
  Deno.test(`GOAWAY that takes an open stream back ends it, with a window of ${window}`, async () => {
    await using it = await open("client");
    const { conn, peer } = it;
    await peer.write(http2Frame(SETTINGS, 0, 0, setting(4, window)));
    await peer.next(SETTINGS);
    for (let n = 0; n < 10; n++) conn.send("x".repeat(100_000));
    await peer.write(goaway(0, 0));
    const record = await conn.closed;
    assertEquals([record.code, record.wasClean], [1006, false]);
    assertMatch(String(record.cause), /before its end|reset with REFUSED_STREAM/);
    await peer.end();
  });
}

for (const code of [0, 2]) {
  Deno.test(`GOAWAY ${code} with the settings fails the attempt`, async () => {
    await using ctx = client();
    using listener = tlsListener();
    const conn = ctx.connect(urlOf(listener), { http2: true });
    // It comes while there is no stream, with what would be read after it.
    const rest = concat(http2Frame(SETTINGS, ACK, 0), http2Frame(SETTINGS, 0, 0));
    const first = concat(serverSettings(), goaway(0, code), rest);
    using _peer = await RawHttp2.accept(listener, first);
    assertMatch(
      (await failure(conn.opened)).message,
      /accepts no streams|has ended before its settings/,
    );
  });
}

const ANSWERS: [name: string, answer: Uint8Array, error: RegExp][] = [
  ["no status", headers(["x", "y"]), /reset with|ended/],
  ["a status that is no number", headers([":status", "abc"]), /reset with|ended/],
  ["two statuses", headers([":status", "200"], [":status", "404"]), /reset with|ended/],
  [
    "the pseudo-header of a request",
    headers([":status", "200"], [":path", "/"]),
    /reset with|ended/,
  ],
  ["101, which HTTP/2 hasn't got", headers([":status", "101"]), /101|reset with|ended/],
  ["a redirect", headers([":status", "302"], ["location", "/"]), /302/],
  ["a reset", http2Frame(RST_STREAM, 0, 1, uint32(13)), /reset with code 13/],
  ["END_STREAM", http2Frame(DATA, END_STREAM, 1), /reset with|ended/],
];

function headers(...fields: [string, string][]): Uint8Array {
  return http2Frame(HEADERS, END_HEADERS, 1, fieldBlock(...fields));
}

for (const [name, answer, error] of ANSWERS) {
  Deno.test(`a client whose handshake is answered by ${name} fails`, async () => {
    await using ctx = client();
    using listener = tlsListener();
    const conn = ctx.connect(urlOf(listener), { http2: true });
    using peer = await RawHttp2.accept(listener);
    await peer.next(HEADERS);
    await peer.write(answer);
    // The body of a refusal is waited for.
    await peer.write(http2Frame(DATA, END_STREAM, 1)).catch(() => {});
    assertMatch((await failure(conn.opened)).message, error);
    assertEquals((await conn.closed).code, 1006);
    await peer.end();
  });
}

Deno.test("a client takes informational answers before the final one, and an end right behind it", async () => {
  await using ctx = client();
  using listener = tlsListener();
  const conn = ctx.connect(urlOf(listener), { http2: true });
  using peer = await RawHttp2.accept(listener);
  await peer.next(HEADERS);
  const ok = http2Frame(HEADERS, END_HEADERS | END_STREAM, 1, OK);
  await peer.write(headers([":status", "103"], ["link", "<x>"]), headers([":status", "100"]), ok);
  await conn.opened;
  const record = await conn.closed;
  assertEquals([record.code, record.wasClean], [1006, false]);
  assertMatch(String(record.cause), /without a close frame/);
});

Deno.test("a server that allows no streams fails the attempt, and isn't dialled again and again", async () => {
  await using ctx = client();
  using listener = tlsListener();
  const conn = ctx.connect(urlOf(listener), { http2: true });
  using peer = await RawHttp2.accept(listener, serverSettings(setting(3, 0)));
  assertMatch((await failure(conn.opened)).message, /accepts no streams/);
  await peer.end();
});
