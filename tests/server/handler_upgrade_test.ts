// Upgrades that are decided by the application's handler: `upgrades: "handler"` and `ctx.upgrade`.
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { Hono } from "hono";
import {
  type Connection,
  Context,
  type HandshakeError,
  type HttpHandler,
  type ListenOptions,
  type UpgradeOptions,
} from "../../mod.ts";
import { ConsoleErrors } from "../support/console_errors.ts";
import { EventLog } from "../support/event_log.ts";
import { exchange } from "../support/exchange.ts";
import { failure } from "../support/failure.ts";
import { TEXT } from "../support/frames.ts";
import { fieldOf, RawPeer, upgradeRequest } from "../support/raw_peer.ts";
import { until } from "../support/until.ts";

const ECHO: UpgradeOptions = { onMessage: (conn, data) => void conn.send(data) };

interface Served extends AsyncDisposable {
  ctx: Context;
  url: string;
  port: number;
  /** The errors of `onHandshakeError`. */
  refused: EventLog<HandshakeError>;
}

/** A listener whose handler decides about upgrades. */
function serve(handler: (ctx: Context) => HttpHandler, options: ListenOptions = {}): Served {
  const ctx = new Context();
  const refused = new EventLog<HandshakeError>();
  const { url, port } = ctx.listen({
    hostname: "127.0.0.1",
    upgrades: "handler",
    handler: handler(ctx),
    onHandshakeError: (error) => refused.push(error as HandshakeError),
    ...options,
  });
  return {
    ctx,
    url,
    port,
    refused,
    async [Symbol.asyncDispose]() {
      await ctx.shutdown({ timeout: 0 });
    },
  };
}

Deno.test("an upgrade by a handler gives a full connection", async () => {
  const conns = new EventLog<Connection>();
  await using on = serve((ctx) => (request) => {
    const { response, connection } = ctx.upgrade(request, {
      ...ECHO,
      data: { user: "ann" },
      protocols: ["b", "a"],
      headers: { "x-served-by": "us" },
    });
    assertEquals([connection.state, connection.protocol], ["connecting", ""]);
    conns.push(connection);
    return response;
  }, { compression: { threshold: 0 }, maxMessageSize: 2 << 20, headers: { "x-listener": "yes" } });
  const client = on.ctx.connect(`${on.url}path?x=1`, {
    protocols: ["a", "b"],
    compression: true,
    maxMessageSize: 0,
  });
  const { protocol, headers } = await client.opened;
  const conn = await conns.next();
  assertEquals([protocol, conn.protocol, conn.state], ["b", "b", "open"]);
  assertEquals([headers.get("x-served-by"), headers.get("x-listener")], ["us", "yes"]);
  assertMatch(conn.extensions, /permessage-deflate/);
  assertEquals(conn.data, { user: "ann" });
  assertEquals([new URL(conn.request!.url).search, conn.role], ["?x=1", "server"]);
  assertEquals(conn.url, `${on.url}path?x=1`);
  assertEquals(conn.listener?.port, on.port);
  assertEquals([...conn.listener!.connections], [conn]);
  assert(await client.ping() >= 0 && await conn.ping() >= 0);
  await exchange(client);
  conn.close(4001, "bye");
  assertEquals((await client.closed).code, 4001);
});

Deno.test("an upgrade has the limits of the listener unless it names others, and its own callbacks", async () => {
  const called: string[] = [];
  await using on = serve((ctx) => (request) => {
    const own = new URL(request.url).pathname === "/own" ? { maxMessageSize: 10 } : {};
    return ctx.upgrade(request, { ...ECHO, ...own }).response;
  }, { maxMessageSize: 5, onMessage: () => void called.push("message") });
  for (const [path, most] of [["", 5], ["own", 10]] as const) {
    const client = on.ctx.connect(`${on.url}${path}`);
    await client.opened;
    client.send("x".repeat(most));
    assertEquals(await client.receive(), "x".repeat(most));
    client.send("x".repeat(most + 1));
    assertEquals((await client.closed).code, 1009);
  }
  assertEquals(called, []);
});

Deno.test("other responses of the handler reach the client, and the connection stays usable", async () => {
  await using on = serve((ctx) => (request) => {
    if (!request.headers.has("authorization")) {
      return new Response("who are you?", {
        status: 401,
        headers: [["www-authenticate", "Basic"], ["set-cookie", "a=1"], ["set-cookie", "b=2"]],
      });
    }
    return ctx.upgrade(request, ECHO).response;
  });
  const error = await failure(on.ctx.connect(on.url, { onError: () => {} }).opened);
  assertEquals([error.name, error.status], ["HandshakeError", 401]);
  assertEquals(error.headers.getSetCookie(), ["a=1", "b=2"]);
  assertEquals(new TextDecoder().decode(error.body), "who are you?");
  assertEquals((await on.refused.next()).status, 401);

  using peer = await RawPeer.dial(on.port);
  await peer.write(upgradeRequest());
  const answer = await peer.readHead();
  assertMatch(answer, /^HTTP\/1\.1 401 /);
  assertEquals(fieldOf(answer, "connection"), null);
  await on.refused.next();
});

Deno.test("after a 401 an upgrade is accepted on the same connection, with frames directly after it", async () => {
  await using on = serve((ctx) => (request) => {
    if (!request.headers.has("authorization")) return new Response(null, { status: 401 });
    return ctx.upgrade(request, ECHO).response;
  });
  using peer = await RawPeer.dial(on.port);
  await peer.write(upgradeRequest());
  assertMatch(await peer.readHead(), /^HTTP\/1\.1 401 /);
  await peer.request({ authorization: "x" }, undefined, peer.encode(TEXT, "early"));
  assertEquals(new TextDecoder().decode((await peer.next(TEXT)).payload), "early");
});

Deno.test("the 101 is sent with any Response that carries it, and with its headers", async () => {
  await using on = serve((ctx) => async (request) => {
    const { response } = ctx.upgrade(request, { ...ECHO, headers: { "x-own": "1" } });
    await Promise.resolve();
    const copy = new Response(response.body, response);
    copy.headers.append("set-cookie", "a=1");
    copy.headers.append("set-cookie", "b=2");
    copy.headers.set("content-length", "0");
    copy.headers.set("upgrade", "nothing");
    return copy;
  });
  const client = on.ctx.connect(on.url);
  const { headers } = await client.opened;
  assertEquals(headers.getSetCookie(), ["a=1", "b=2"]);
  assertEquals([headers.get("x-own"), headers.get("content-length")], ["1", null]);
  assertEquals(headers.get("upgrade"), "websocket");
});

Deno.test("Hono: a route decides, and headers that a middleware sets after next() are sent with the 101", async () => {
  await using on = serve((ctx) => {
    const app = new Hono();
    // deno-lint-ignore no-explicit-any
    app.use("*", async (c: any, next: () => Promise<void>) => {
      await next();
      c.header("x-after", "next");
    });
    // deno-lint-ignore no-explicit-any
    app.get("/chat", (c: any) => ctx.upgrade(c.req.raw, ECHO).response);
    return (request) => app.fetch(request);
  });
  const client = on.ctx.connect(`${on.url}chat`);
  assertEquals((await client.opened).headers.get("x-after"), "next");
  await exchange(client);
  const error = await failure(on.ctx.connect(on.url, { onError: () => {} }).opened);
  assertEquals([error.status, error.headers.get("x-after")], [404, "next"]);
});

Deno.test("the same handler works under Deno.serve", async () => {
  await using ctx = new Context();
  const handler = (request: Request) => {
    const { pathname } = new URL(request.url);
    if (pathname !== "/chat") return new Response("no such page", { status: 404 });
    return ctx.upgrade(request, { ...ECHO, protocols: "chat", headers: { "x-own": "1" } }).response;
  };
  const native = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, handler);
  const ours = ctx.listen({ hostname: "127.0.0.1", upgrades: "handler", handler });
  for (const { port } of [native.addr, ours]) {
    const page = await fetch(`http://127.0.0.1:${port}/`);
    assertEquals([page.status, await page.text()], [404, "no such page"]);
    const client = ctx.connect(`ws://127.0.0.1:${port}/chat`, { protocols: ["chat"] });
    const { protocol, headers } = await client.opened;
    assertEquals([protocol, headers.get("x-own")], ["chat", "1"]);
    client.send("hello");
    assertEquals(await client.receive(), "hello");
    client.close();
    await client.closed;
  }
  await native.shutdown();
});

for (
  const [name, answer, status] of [
    ["another answer", (): Response => new Response("full", { status: 503 }), 503],
    ["no Response", () => undefined as unknown as Response, 426],
    ["an error", (): Response => {
      throw new Error("of its own");
    }, 500],
  ] as const
) {
  Deno.test(`the connection fails if the handler answers an upgrade with ${name}`, async () => {
    const conns = new EventLog<Connection>();
    const errors = new EventLog<HandshakeError>();
    await using on = serve((ctx) => (request) => {
      const onError = (_: Connection, error: unknown) => errors.push(error as HandshakeError);
      conns.push(ctx.upgrade(request, { onError }).connection);
      return answer();
    });
    using _said = new ConsoleErrors();
    const client = on.ctx.connect(on.url, { onError: () => {} });
    assertEquals((await failure(client.opened)).status, status);
    const conn = await conns.next();
    const error = await errors.next();
    assertEquals([error.name, error.status], ["HandshakeError", status]);
    assertEquals(await failure(conn.opened), error);
    assertEquals((await conn.closed).cause, error);
    assertEquals((await on.refused.next()).status, status);
  });
}

Deno.test("without an upgrade, no Response leads to 426, and a foreign 101 to 500", async () => {
  await using on = serve(() => (request) => {
    switch (new URL(request.url).pathname) {
      case "/none":
        return undefined as unknown as Response;
      case "/native": {
        const { socket, response } = Deno.upgradeWebSocket(request);
        socket.onerror = () => {};
        return response;
      }
    }
    return new Response(null, { status: 101 });
  });
  for (const [path, status] of [["none", 426], ["native", 500], ["bare", 500]] as const) {
    using said = new ConsoleErrors();
    const client = on.ctx.connect(on.url + path, { onError: () => {} });
    const error = await failure(client.opened);
    assertEquals([error.status, error.headers.get("upgrade")], [
      status,
      status === 426 ? "websocket" : null,
    ]);
    assertEquals(said.text.includes("use the response of ctx.upgrade"), status === 500);
    assertEquals((await on.refused.next()).status, status);
  }
});

Deno.test("a second upgrade, a late one, one of a copy and one of another context's request throw", async () => {
  await using other = new Context();
  const requests = new EventLog<Request>();
  const thrown = new EventLog<Error>();
  await using on = serve((ctx) => (request) => {
    requests.push(request);
    const { message } = thrown.events[0] ?? { message: "" };
    assertEquals(message, "");
    const attempt = (call: () => unknown) => thrown.push(assertThrows(call, TypeError));
    attempt(() => ctx.upgrade(request.clone()));
    attempt(() => ctx.upgrade(new Request(request)));
    attempt(() => other.upgrade(request));
    const { response } = ctx.upgrade(request, ECHO);
    attempt(() => ctx.upgrade(request));
    return response;
  });
  const client = on.ctx.connect(on.url);
  await client.opened;
  const request = await requests.next();
  thrown.push(assertThrows(() => on.ctx.upgrade(request), TypeError));
  const messages = thrown.events.map(({ message }) => message);
  for (
    const [at, pattern] of [/copy/, /copy/, /another context/, /twice|answered/, /twice|answered/]
      .entries()
  ) assertMatch(messages[at], pattern);
  client.send("still");
  assertEquals(await client.receive(), "still");
});

Deno.test("an invalid handshake is refused before the handler gets it", async () => {
  let asked = 0;
  await using on = serve((ctx) => (request) => {
    asked++;
    return ctx.upgrade(request, ECHO).response;
  });
  for (
    const [changes, line, status] of [
      [{ "Sec-WebSocket-Version": "8" }, undefined, 426],
      [{ "Sec-WebSocket-Key": "short" }, undefined, 400],
      [{}, "POST / HTTP/1.1", 405],
      [{ "Content-Length": "3" }, undefined, 400],
    ] as const
  ) {
    using peer = await RawPeer.dial(on.port);
    await peer.write(upgradeRequest(changes, line));
    assertEquals((await peer.response()).status, status);
    assertEquals((await on.refused.next()).status, status);
  }
  assertEquals(asked, 0);
});

Deno.test("the origins of the listener apply, unless the upgrade names others", async () => {
  const errors = new EventLog<HandshakeError>();
  await using on = serve((ctx) => (request) => {
    const own = new URL(request.url).pathname === "/own" ? { origins: ["https://own"] } : {};
    const onError = (_: Connection, error: unknown) => errors.push(error as HandshakeError);
    return ctx.upgrade(request, { ...ECHO, ...own, onError }).response;
  }, { origins: (origin) => Promise.resolve(origin === "https://listener") });
  for (
    const [path, origin, welcome] of [
      ["", "https://listener", true],
      ["", "https://own", false],
      ["own", "https://own", true],
      ["own", "https://listener", false],
    ] as const
  ) {
    const client = on.ctx.connect(on.url + path, { headers: { origin }, onError: () => {} });
    if (welcome) {
      await client.opened;
      client.close();
      continue;
    }
    assertEquals((await failure(client.opened)).status, 403);
    assertEquals([(await errors.next()).status, (await on.refused.next()).status], [403, 403]);
  }
});

Deno.test("a handler that takes too long after the upgrade leads to 503", async () => {
  const errors = new EventLog<Error>();
  await using on = serve((ctx) => (request) => {
    const onError = (_: Connection, error: unknown) => errors.push(error as Error);
    ctx.upgrade(request, { handshakeTimeout: 20, onError });
    return new Promise<Response>(() => {});
  });
  const client = on.ctx.connect(on.url, { onError: () => {} });
  assertEquals((await failure(client.opened)).status, 503);
  assertEquals((await errors.next()).name, "TimeoutError");
});

Deno.test("the client disconnects, or the connection is closed, before the handler has answered", async () => {
  const conns = new EventLog<Connection>();
  const gate = Promise.withResolvers<void>();
  await using on = serve((ctx) => async (request) => {
    const { response, connection } = ctx.upgrade(request, { onError: () => {} });
    conns.push(connection);
    await gate.promise;
    return response;
  });
  const peer = await RawPeer.dial(on.port);
  await peer.write(upgradeRequest());
  const left = await conns.next();
  peer.close();
  assertEquals((await failure(left.opened)).name, "AbortError");
  assertEquals((await left.closed).code, 1006);

  const client = on.ctx.connect(on.url, { onError: () => {} });
  const closed = await conns.next();
  closed.close();
  assertEquals((await failure(closed.opened)).name, "AbortError");
  gate.resolve();
  assertEquals((await failure(client.opened)).status, 503);
});

Deno.test("a shutdown ends connections that a handler is still deciding about", async () => {
  const conns = new EventLog<Connection>();
  const gate = Promise.withResolvers<void>();
  await using on = serve((ctx) => async (request) => {
    const { response, connection } = ctx.upgrade(request);
    conns.push(connection);
    await gate.promise;
    return response;
  });
  await using outside = new Context();
  const client = outside.connect(on.url, { onError: () => {} });
  const conn = await conns.next();
  const shutdown = on.ctx.shutdown();
  assertEquals((await failure(conn.opened)).name, "AbortError");
  gate.resolve();
  assertEquals((await failure(client.opened)).status, 503);
  assertEquals(await shutdown, { clean: 0, terminated: 0 });
});

Deno.test("maxConnections counts connections of both kinds", async () => {
  await using on = serve((ctx) => (request) => ctx.upgrade(request, ECHO).response, {
    maxConnections: 1,
  });
  const first = on.ctx.connect(on.url);
  await first.opened;
  const second = on.ctx.connect(on.url, { onError: () => {} });
  assertEquals((await failure(second.opened)).status, 503);
  first.close();
  await first.closed;
  await until(() => on.ctx.connections.size === 0);
  const third = on.ctx.connect(on.url);
  await third.opened;
});

Deno.test("upgrades: the value handler requires a handler, which decides alone", () => {
  const ctx = new Context();
  const handler = () => new Response();
  assertThrows(() => ctx.listen({ upgrades: "handler" }), TypeError, "without handler");
  const both = { upgrades: "handler", handler, onHandshake: () => true } as const;
  assertThrows(() => ctx.listen(both), TypeError, "and onHandshake");
  assertThrows(() => ctx.listen({ upgrades: "both" as "handler", handler }), TypeError, '"both"');
  const listener = ctx.listen({ hostname: "127.0.0.1", upgrades: "handler", handler });
  assertThrows(() => listener.on({ onHandshake: () => true }), TypeError, "and onHandshake");
  listener.close();
});
