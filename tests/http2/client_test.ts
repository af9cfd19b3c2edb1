// Clients over HTTP/2: `connect(url, { http2: true })`.
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { once } from "node:events";
import http2, { type Http2SecureServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import {
  type Connection,
  type ConnectOptions,
  Context,
  type HandshakeError,
  type ListenOptions,
} from "../../mod.ts";
import { EventLog } from "../support/event_log.ts";
import { exchange } from "../support/exchange.ts";
import { failure } from "../support/failure.ts";
import { standstill, until } from "../support/until.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { serve as listening, type Served } from "./_serve.ts";

const certificates = makeCertificates();
addEventListener("unload", () => certificates[Symbol.dispose]());

const HTTP2: ConnectOptions = { http2: true, tls: { caCerts: [certificates.ca] } };

/** A listener that echoes messages, over HTTP/2 by default. */
function serve(options: ListenOptions = {}): Served & { url: string } {
  const on = listening({
    tls: certificates.server,
    maxMessageSize: 0,
    onMessage: (conn, data) => {
      if (!conn.send(data)) return conn.drained().catch(() => {});
    },
    ...options,
  });
  return { ...on, url: `wss://localhost:${on.port}/path?x=1` };
}

interface Foreign extends AsyncDisposable {
  url: string;
  server: Http2SecureServer;
  /** The number of connections so far, and of open ones. */
  sessions: () => number;
  open: () => number;
  /** The streams that were accepted. */
  streams: EventLog<ServerHttp2Stream>;
}

/** A server on `node:http2`. Streams that `onStream` doesn't handle are accepted, and echo. */
async function foreign(
  onStream: (stream: ServerHttp2Stream, path: string) => unknown = () => {},
  settings: http2.Settings = { enableConnectProtocol: true },
): Promise<Foreign> {
  const { cert, key } = certificates.server;
  let sessions = 0;
  const server = http2.createSecureServer({ cert, key, allowHTTP1: true, settings });
  const open = new Set<http2.ServerHttp2Session>();
  const streams = new EventLog<ServerHttp2Stream>();
  const ctx = new Context({ onMessage: (conn, data) => void conn.send(data), onError() {} });
  server.on("session", (session) => {
    sessions++;
    open.add(session);
    session.on("error", () => {});
    session.on("close", () => open.delete(session));
  });
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    if (onStream(stream, String(headers[":path"])) !== undefined) return;
    stream.respond({ ":status": 200 });
    streams.push(stream);
    ctx.adopt(stream, { handshake: false });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `wss://localhost:${(server.address() as AddressInfo).port}/`,
    server,
    sessions: () => sessions,
    open: () => open.size,
    streams,
    async [Symbol.asyncDispose]() {
      await ctx.shutdown({ timeout: 0 });
      for (const session of open) session.destroy();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await closed;
    },
  };
}

function portOf(conn: Connection): number {
  return (conn.remoteAddress as Deno.NetAddr).port;
}

Deno.test("clients of a context share a connection, and each of them works like any client", async () => {
  await using on = serve({ protocols: ["b"], compression: true, headers: { "x-own": "yes" } });
  await using ctx = new Context();
  const options = { ...HTTP2, protocols: ["a", "b"], compression: true, maxMessageSize: 0 };
  const conns = Array.from({ length: 20 }, () => ctx.connect(on.url, options));
  await Promise.all(conns.map((conn) => conn.opened));
  const ports = new Set<number>();
  for (const conn of conns) {
    assertEquals([conn.httpVersion, conn.protocol, conn.url], ["2", "b", on.url]);
    assertMatch(conn.extensions, /^permessage-deflate/);
    assertEquals(conn.responseHeaders!.get("x-own"), "yes");
    const server = await on.opened.next();
    assertEquals([server.httpVersion, server.request!.headers.get("host")], [
      "2",
      new URL(on.url).host,
    ]);
    ports.add(portOf(server));
  }
  assertEquals(ports.size, 1);
  await exchange(conns[0]);
  assert(await conns[1].ping() >= 0);
  for (const conn of conns) conn.close(4001, "bye");
  for (const conn of conns) {
    const record = await conn.closed;
    assertEquals([record.code, record.reason, record.wasClean], [4001, "bye", true]);
    assertEquals((await on.closed.next()).wasClean, true);
  }
});

Deno.test("a shared connection ends after its last stream, and the next client dials a new one", async () => {
  await using on = await foreign();
  await using ctx = new Context();
  for (let round = 1; round <= 2; round++) {
    const conns = [ctx.connect(on.url, HTTP2), ctx.connect(on.url, HTTP2)];
    for (const conn of conns) await conn.opened;
    await exchange(conns[0]);
    conns[0].close();
    assertEquals((await conns[0].closed).wasClean, true);
    conns[1].send("still open");
    assertEquals(await conns[1].receive(), "still open");
    assertEquals([on.sessions(), on.open()], [round, 1]);
    conns[1].close();
    await until(() => on.open() === 0);
  }
});

Deno.test("a paused client stops the server, and doesn't affect other clients", async () => {
  await using on = serve({ maxQueueBytes: 0, keepAlive: false });
  await using ctx = new Context({ keepAlive: false, maxMessageSize: 0 });
  const held = ctx.connect(on.url, HTTP2);
  await held.opened;
  held.pause();
  const server = await on.opened.next();
  const other = ctx.connect(on.url, HTTP2);
  await other.opened;
  for (let n = 0; n < 256; n++) server.send(new Uint8Array(64 * 1024));
  const received = await standstill(() => held.stats().bytesReceived);
  assert(received <= 256 * 1024, `${received} bytes were read`);
  other.send("still here");
  assertEquals(await other.receive(), "still here");
  held.resume();
  for (let n = 0; n < 256; n++) assertEquals((await held.receive()).length, 64 * 1024);
});

Deno.test("clients with other TLS options, addresses or contexts use other connections", async () => {
  await using on = serve();
  await using ctx = new Context();
  await using another = new Context();
  const port = Number(new URL(on.url).port);
  const conns = [
    ctx.connect(on.url, HTTP2),
    another.connect(on.url, HTTP2),
    ctx.connect(on.url, { http2: true, tls: { insecure: true } }),
    ctx.connect(on.url, { ...HTTP2, address: { hostname: "127.0.0.1", port } }),
    ctx.connect(on.url.replace("localhost", "127.0.0.1"), { http2: true, tls: { insecure: true } }),
  ];
  const ports = new Set<number>();
  for (const conn of conns) {
    await conn.opened;
    ports.add(portOf(await on.opened.next()));
  }
  assertEquals(ports.size, conns.length);
});

Deno.test("clients use HTTP/1.1 with a server without HTTP/2, even if many connect at once", async () => {
  await using on = serve({ http2: false });
  await using ctx = new Context();
  const conns = Array.from({ length: 5 }, () => ctx.connect(on.url, HTTP2));
  for (const conn of conns) {
    await conn.opened;
    assertEquals(conn.httpVersion, "1.1");
    conn.send("hello");
    assertEquals(await conn.receive(), "hello");
  }
});

Deno.test("clients use HTTP/1.1 with an HTTP/2 server that doesn't support WebSockets", async () => {
  await using on = await foreign(undefined, {});
  on.server.on("upgrade", (request, socket) => {
    adopted.adopt(socket, { request, onMessage: (conn, data) => void conn.send(data) });
  });
  await using adopted = new Context();
  await using ctx = new Context();
  const conn = ctx.connect(on.url, HTTP2);
  await conn.opened;
  assertEquals([conn.httpVersion, on.sessions()], ["1.1", 1]);
  conn.send("hello");
  assertEquals(await conn.receive(), "hello");
});

Deno.test("the error of a refusal has its status, fields and body", async () => {
  await using on = serve({
    onHandshake: () =>
      new Response("not you", { status: 401, headers: { "www-authenticate": "x" } }),
  });
  await using ctx = new Context();
  const error: HandshakeError = await failure(
    ctx.connect(on.url, { ...HTTP2, onError() {} }).opened,
  );
  assertEquals([error.name, error.status], ["HandshakeError", 401]);
  assertEquals([error.headers.get("www-authenticate"), new TextDecoder().decode(error.body)], [
    "x",
    "not you",
  ]);
});

Deno.test("a response that doesn't match the request is an error", async () => {
  await using on = await foreign((stream, path) => {
    stream.respond({
      ":status": 200,
      ...(path === "/protocol"
        ? { "sec-websocket-protocol": "other" }
        : { "sec-websocket-extensions": "other" }),
    });
    return true;
  });
  await using ctx = new Context();
  for (const path of ["protocol", "extension"]) {
    const conn = ctx.connect(on.url + path, { ...HTTP2, protocols: ["mine"], onError() {} });
    const error = await failure(conn.opened);
    assertEquals([error.name, error.status], ["HandshakeError", 200]);
    assertMatch(error.message, /"other" wasn't offered/);
  }
});

for (
  const [name, end, cause] of [
    [
      "a reset",
      (stream: ServerHttp2Stream) => stream.destroy(new Error("of its own")),
      /reset with/,
    ],
    [
      "the loss of the connection",
      (stream: ServerHttp2Stream) => stream.session!.destroy(),
      /ended/,
    ],
    ["END_STREAM alone", (stream: ServerHttp2Stream) => stream.end(), /without a close frame/],
  ] as const
) {
  Deno.test(`${name} by the server ends a client with 1006 and its cause`, async () => {
    await using on = await foreign();
    await using ctx = new Context();
    const conn = ctx.connect(on.url, { ...HTTP2, onError() {} });
    await conn.opened;
    end(await on.streams.next());
    const record = await conn.closed;
    assertEquals([record.code, record.wasClean], [1006, false]);
    assertMatch(String(record.cause), cause);
  });
}

Deno.test("terminate resets the stream with CANCEL", async () => {
  const codes = new EventLog<number>();
  await using on = await foreign((stream) => {
    stream.on("close", () => codes.push(stream.rstCode));
  });
  await using ctx = new Context();
  const conn = ctx.connect(on.url, HTTP2);
  await conn.opened;
  conn.terminate();
  assertEquals(await codes.next(), 8);
});

Deno.test("a server's GOAWAY doesn't affect open streams, and the next client dials a new connection", async () => {
  await using on = await foreign();
  await using ctx = new Context();
  const one = ctx.connect(on.url, HTTP2);
  await one.opened;
  const { session } = await on.streams.next();
  session!.goaway(0);
  // The answer to the ping shows that the GOAWAY before it has been received.
  await new Promise((resolve) => session!.ping(() => resolve(null)));
  const two = ctx.connect(on.url, HTTP2);
  await two.opened;
  assertEquals([one.state, two.state, on.sessions()], ["open", "open", 2]);
});

Deno.test("a request whose stream is refused unprocessed is sent again", async () => {
  let asked = 0;
  await using on = await foreign((stream) => {
    if (++asked > 1) return;
    stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    return true;
  });
  await using ctx = new Context();
  await ctx.connect(on.url, HTTP2).opened;
  assertEquals(asked, 2);
});

Deno.test("a second session is opened if the first one has no room for another stream", async () => {
  await using on = await foreign(undefined, {
    enableConnectProtocol: true,
    maxConcurrentStreams: 2,
  });
  await using ctx = new Context();
  const conns = Array.from({ length: 5 }, () => ctx.connect(on.url, HTTP2));
  for (const conn of conns) await conn.opened;
  assertEquals(on.sessions(), 3);
});

Deno.test("cancelling an attempt doesn't affect the clients that wait for its connection", async () => {
  await using on = serve();
  await using ctx = new Context();
  const abort = new AbortController();
  const first = ctx.connect(on.url, { ...HTTP2, signal: abort.signal });
  const second = ctx.connect(on.url, HTTP2);
  const third = ctx.connect(on.url, HTTP2);
  third.terminate();
  abort.abort();
  assertEquals((await failure(first.opened)).name, "AbortError");
  assertEquals((await failure(third.opened)).name, "AbortError");
  await second.opened;
  assertEquals(second.httpVersion, "2");
});

Deno.test("connectTimeout ends an attempt that waits for settings or for the response", async () => {
  await using ctx = new Context();
  await using on = await foreign(() => true);
  const unanswered = ctx.connect(on.url, { ...HTTP2, connectTimeout: 100, onError() {} });
  assertMatch((await failure(unanswered.opened)).message, /waiting for the answer/);
  await until(() => ctx.connections.size === 0);
});

Deno.test("the option http2 is refused for ws:", () => {
  const ctx = new Context();
  assertThrows(() => ctx.connect("ws://localhost/", { http2: true }), TypeError, "use wss:");
  assertThrows(
    () => ctx.connect("wss://localhost/", { http2: "yes" as unknown as boolean }),
    TypeError,
    "true or false",
  );
});
