// Upgrades over HTTP/2 that are decided by the application's handler.
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import {
  type Connection,
  Context,
  type HandshakeError,
  type HttpHandler,
  type ListenOptions,
} from "../../mod.ts";
import { utf8 } from "../support/bytes.ts";
import { EventLog } from "../support/event_log.ts";
import { failure } from "../support/failure.ts";
import { TEXT } from "../support/frames.ts";
import { Http2Peer } from "../support/http2_peer.ts";

interface Served extends AsyncDisposable {
  ctx: Context;
  client: Http2Peer;
  refused: EventLog<HandshakeError>;
}

async function serve(
  handler: (ctx: Context) => HttpHandler,
  options: ListenOptions = {},
): Promise<Served> {
  const ctx = new Context();
  const refused = new EventLog<HandshakeError>();
  const { port } = ctx.listen({
    hostname: "127.0.0.1",
    http2: true,
    upgrades: "handler",
    handler: handler(ctx),
    onHandshakeError: (error) => refused.push(error as HandshakeError),
    ...options,
  });
  const client = await Http2Peer.connect(port);
  return {
    ctx,
    client,
    refused,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await ctx.shutdown({ timeout: 0 });
    },
  };
}

Deno.test("the handler decides about an upgrade, and its 101 is sent as a 200 with the same fields", async () => {
  const conns = new EventLog<Connection>();
  await using on = await serve((ctx) => (request) => {
    if (request.headers.get("upgrade") !== "websocket") return new Response("a page");
    if (!request.headers.has("authorization")) {
      return new Response("who are you?", { status: 401, headers: { "set-cookie": "a=1" } });
    }
    const { response, connection } = ctx.upgrade(request, {
      protocols: "chat",
      data: "mine",
      onMessage: (conn, data) => void conn.send(data),
    });
    conns.push(connection);
    const copy = new Response(null, response);
    copy.headers.append("set-cookie", "b=2");
    copy.headers.append("set-cookie", "c=3");
    return copy;
  }, { compression: true });
  assertEquals((await on.client.request({ ":path": "/" })).body, "a page");
  const stranger = await on.client.refusal();
  assertEquals([stranger.status, stranger.body], [401, "who are you?"]);
  assertEquals(stranger.headers["set-cookie"], ["a=1"]);
  assertEquals((await on.refused.next()).status, 401);
  using peer = await on.client.webSocket({
    "authorization": "Bearer 1",
    "sec-websocket-protocol": "chat",
    "sec-websocket-extensions": "permessage-deflate",
  });
  const { headers } = peer.conn;
  assertEquals(headers["set-cookie"], ["b=2", "c=3"]);
  assertEquals(headers["sec-websocket-protocol"], "chat");
  assertMatch(headers["sec-websocket-extensions"], /^permessage-deflate/);
  const conn = await conns.next();
  assertEquals([conn.state, conn.httpVersion, conn.data], ["open", "2", "mine"]);
  await peer.send(TEXT, "hello");
  assertEquals((await peer.next(TEXT)).payload, utf8("hello"));
});

Deno.test("the connection fails after other responses, errors and missing responses", async () => {
  const errors = new EventLog<HandshakeError>();
  await using on = await serve((ctx) => (request) => {
    const { pathname } = new URL(request.url);
    const onError = (_: Connection, error: unknown) => errors.push(error as HandshakeError);
    ctx.upgrade(request, { onError });
    if (pathname === "/none") return undefined as unknown as Response;
    if (pathname === "/full") return new Response("full", { status: 503 });
    throw new Error("of its own");
  });
  const { error } = console;
  console.error = () => {};
  try {
    for (const [path, status] of [["/none", 426], ["/full", 503], ["/throws", 500]] as const) {
      assertEquals((await on.client.refusal({ ":path": path })).status, status);
      assertEquals([(await errors.next()).status, (await on.refused.next()).status], [
        status,
        status,
      ]);
    }
  } finally {
    console.error = error;
  }
});

Deno.test("a second upgrade, one of a copy and one after the response throw over HTTP/2", async () => {
  const requests = new EventLog<Request>();
  await using on = await serve((ctx) => (request) => {
    requests.push(request);
    assertThrows(() => ctx.upgrade(request.clone()), TypeError);
    const { response } = ctx.upgrade(request);
    assertThrows(() => ctx.upgrade(request), TypeError, "twice");
    return response;
  });
  using _peer = await on.client.webSocket();
  const request = await requests.next();
  assertThrows(() => on.ctx.upgrade(request), TypeError, "answered");
});

Deno.test("the client disconnects before the handler has answered", async () => {
  const conns = new EventLog<Connection>();
  await using on = await serve((ctx) => (request) => {
    conns.push(ctx.upgrade(request, { onError: () => {} }).connection);
    return new Promise<Response>(() => {});
  });
  const stream = on.client.beginWebSocket();
  const conn = await conns.next();
  stream.close(8);
  assertEquals((await failure(conn.opened)).name, "AbortError");
});

Deno.test("origins and handshakeTimeout apply over HTTP/2", async () => {
  await using on = await serve((ctx) => (request) => {
    const { response } = ctx.upgrade(request, { handshakeTimeout: 20, onError: () => {} });
    const slow = new URL(request.url).pathname === "/slow";
    return slow ? new Promise<Response>(() => {}) : response;
  }, { origins: ["https://page.example"] });
  assertEquals((await on.client.refusal({ origin: "https://other.example" })).status, 403);
  assertEquals((await on.client.refusal({ ":path": "/slow" })).status, 503);
  using _peer = await on.client.webSocket({ origin: "https://page.example" });
});
