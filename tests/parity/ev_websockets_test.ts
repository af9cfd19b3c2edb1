/** EV::Websockets: a test for each row of the parity list, with its number and name. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  type CloseRecord,
  type Connection,
  Context,
  HandshakeError,
  TimeoutError,
} from "../../mod.ts";
import { parseUrl } from "../../src/handshake/url.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { text } from "../support/bytes.ts";
import { deno, runText } from "../support/child.ts";
import { BINARY, closeFrame, CONTINUATION, frame, masked, PONG, TEXT } from "../support/frames.ts";
import { freePort } from "../support/raw_peer.ts";
import { accept, Events, pair, rawClient, rawServer, recorder } from "./_support.ts";

// Rows that are tested elsewhere: E3 (proxies), E21 and E34 (adopt), E35 and E36 (compression), E38 (tests/examples), E39 (bench).

const local = { hostname: "127.0.0.1" };

Deno.test("E1 Context->new(loop, ssl_cert, …): a context has options, and needs no initialisation", async () => {
  using certificates = makeCertificates();
  await using ctx = new Context({ tls: { caCerts: [certificates.ca] } });
  const listener = ctx.listen({ ...local, tls: certificates.server });
  await ctx.connect(`wss://localhost:${listener.port}/`).opened;
  assertThrows(() => new Context({ maxMessageSize: -1 }), RangeError, "maxMessageSize -1");
});

Deno.test("E2 several contexts can be created and destroyed, and an idle one doesn't stall others", async () => {
  for (let i = 0; i < 3; i++) {
    await using one = new Context();
    await using _idle = new Context();
    const listener = one.listen({ ...local });
    await one.connect(listener.url).opened;
  }
});

Deno.test("E2 a context with nothing open doesn't keep the process alive", async () => {
  const mod = new URL("../../mod.ts", import.meta.url).href;
  const code = `import { Context } from "${mod}";
    const ctx = new Context();
    const listener = ctx.listen({ hostname: "127.0.0.1", tickInterval: 1, onTick() {} });
    const conn = ctx.connect(listener.url);
    await conn.opened; conn.close(); await conn.closed; listener.close();
    console.log("end");`;
  const { stdout, code: exitCode } = await deno(["eval", "--no-check", code]);
  assertEquals([exitCode, stdout], [0, "end\n"]);
});

Deno.test("E4 connect(url, …): connect returns a connection at once", async () => {
  const ctx = new Context();
  await using listener = ctx.listen({ ...local });
  const conn = ctx.connect(listener.url, { data: 5 });
  assertEquals([conn.state, conn.url, conn.data], ["connecting", listener.url, 5]);
  await conn.opened;
  conn.close();
  await conn.closed;
});

Deno.test("E5 URL forms: valid URLs are accepted", async () => {
  const of = (url: string) => {
    const { hostname, port, hostHeader, path, secure } = parseUrl(url);
    return [hostname, port, hostHeader, path, secure];
  };
  assertEquals(of("ws://example.com"), ["example.com", 80, "example.com", "/", false]);
  assertEquals(of("wss://h/p?q=1"), ["h", 443, "h", "/p?q=1", true]);
  assertEquals(of("ws://[::1]:8080/x"), ["::1", 8080, "[::1]:8080", "/x", false]);
  const ctx = new Context();
  for (
    const url of ["ws://h:0/", "ws://h:65536/", "ws://u:p@h/", "ftp://h/", "ws://h/#f", "ws://"]
  ) {
    assertThrows(() => ctx.connect(url));
  }
  using server = await rawServer((peer) => peer.write(accept(peer))).then((server) => ({
    ...server,
    [Symbol.dispose]: server.close,
  }));
  const conn = ctx.connect(`http://127.0.0.1:${server.port}/a?b=c`, { onError: () => {} });
  await conn.opened;
  assertEquals((await conn.closed).code, 1006);
});

Deno.test("E6 connect_timeout: the TimeoutError names the phase", async () => {
  const ctx = new Context();
  const silent = Promise.withResolvers<void>();
  const server = await rawServer(() => silent.promise);
  const events = new Events<string>();
  const conn = ctx.connect(server.url, { ...recorder(events), connectTimeout: 30 });
  const error = await assertRejects(() => conn.opened, TimeoutError);
  assert((error as Error).message.includes("waiting for the answer"), (error as Error).message);
  assertEquals(await events.take(2), ["error: TimeoutError", "close: 1006 "]);
  silent.resolve();
  await server.done;
  server.close();
});

Deno.test("E7 on_connect: never called if the server refuses, resets, answers 4xx or isn't a WebSocket server", async () => {
  const ctx = new Context();
  const answers: [string, number][] = [
    ["HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!", 404],
    ["SSH-2.0-server\r\n\r\n", 0],
    ["", 0],
  ];
  for (const [answer, status] of answers) {
    const server = await rawServer((peer) => peer.write(answer));
    const events = new Events<string>();
    const conn = ctx.connect(server.url, recorder(events));
    const error = await assertRejects(() => conn.opened, HandshakeError);
    assertEquals((error as HandshakeError).status, status);
    assertEquals(await events.take(2), ["error: HandshakeError", "close: 1006 "]);
    server.close();
  }
  const events = new Events<string>();
  const conn = ctx.connect(`ws://127.0.0.1:${freePort()}/`, recorder(events));
  await assertRejects(() => conn.opened, Deno.errors.ConnectionRefused);
  assertEquals(await events.take(2), ["error: ConnectionRefused", "close: 1006 "]);
});

Deno.test("E8 on_connect($conn, $headers) on the client: the connection has all headers of the response", async () => {
  const ctx = new Context();
  await using listener = ctx.listen({
    ...local,
    headers: [["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"], ["Server", "s"], ["X-Any", "x"]],
  });
  const seen = Promise.withResolvers<Headers>();
  const conn = ctx.connect(listener.url, { onConnect: (c) => seen.resolve(c.responseHeaders!) });
  const headers = await seen.promise;
  assertEquals(headers.getSetCookie(), ["a=1", "b=2"]);
  assertEquals([headers.get("server"), headers.get("x-any")], ["s", "x"]);
  conn.close();
});

Deno.test("E9 on_message: whole messages are delivered, also fragmented and empty ones", async () => {
  const got = new Events<unknown>();
  await using both = await pair({ onMessage: (_conn, data) => got.push(data) });
  both.client.send("");
  both.client.send(new Uint8Array(0));
  for (const part of ["a", "", "b"]) both.client.sendFragment(part);
  both.client.sendFragment("c", { final: true });
  both.client.send(Uint8Array.from({ length: 256 }, (_, i) => i));
  assertEquals(await got.take(4), [
    "",
    new Uint8Array(0),
    "abc",
    Uint8Array.from({ length: 256 }, (_, i) => i),
  ]);
});

Deno.test("E10 on_close: called once, with 1005 for a close frame without a code, and 1006 without a close frame", async () => {
  for (const [bytes, code] of [[masked(closeFrame()), 1005], [new Uint8Array(0), 1006]] as const) {
    const closes = new Events<CloseRecord>();
    const ctx = new Context();
    await using listener = ctx.listen({
      ...local,
      onClose: (_conn, close) => closes.push(close),
      onError: () => {},
    });
    const peer = await rawClient(listener.port);
    await peer.write(bytes);
    peer.close();
    assertEquals((await closes.next()).code, code);
    await listener.shutdown();
    assertEquals(closes.all.length, 1);
  }
});

Deno.test("E11 on_error, on_pong, on_drain: onError, onPong and onDrain are called", async () => {
  const events = new Events<string>();
  await using both = await pair({
    onMessage: (_conn, data) => {
      throw new RangeError(String(data));
    },
    onError: (_conn, error) => events.push(`error ${(error as Error).message}`),
    onPong: (_conn, payload) => events.push(`pong ${new TextDecoder().decode(payload)}`),
  }, { onDrain: () => events.push("drain") });
  both.client.send("bad");
  assertEquals((await events.take(2)).sort(), ["drain", "error bad"]);
  both.client.pong("hi");
  assertEquals(await events.next(), "pong hi");
});

Deno.test("E12 listen(port, …) returns the port, also for port 0", async () => {
  const ctx = new Context();
  await using any = ctx.listen({ ...local });
  assert(any.port > 0);
  assertThrows(() => ctx.listen({ ...local, port: any.port }), Deno.errors.AddrInUse);
  for (const port of [-1, 70_000, 1.5]) assertThrows(() => ctx.listen({ port }), RangeError);
});

Deno.test("E13 ssl_cert, ssl_key: one without the other throws", () => {
  using certificates = makeCertificates();
  const ctx = new Context();
  const { cert, key } = certificates.server;
  assertThrows(() => ctx.listen({ ...local, tls: { cert } as never }), TypeError);
  assertThrows(() => ctx.listen({ ...local, tls: { key } as never }), TypeError);
});

Deno.test("E14 on_connect on the server: the connection has the request, with all headers and the full URL", async () => {
  await using both = await pair({}, {
    headers: {
      Cookie: "c=1",
      Authorization: "Bearer t",
      "X-Forwarded-For": "1.2.3.4",
      "X-Any": "x",
    },
  });
  const { request } = both.server;
  assertEquals(request!.url, `http://127.0.0.1:${both.listener.port}/`);
  const names = ["cookie", "authorization", "x-forwarded-for", "x-any"];
  assertEquals(names.map((n) => request!.headers.get(n)), ["c=1", "Bearer t", "1.2.3.4", "x"]);
  assertEquals(both.client.request, null);
});

Deno.test("E15 headers: every upgrade response has them, also several with one name", async () => {
  const ctx = new Context();
  const headers: [string, string][] = [["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"]];
  await using listener = ctx.listen({ ...local, headers });
  for (let i = 0; i < 2; i++) {
    const conn = ctx.connect(listener.url);
    assertEquals((await conn.opened).headers.getSetCookie(), ["a=1", "b=2"]);
    conn.close();
  }
});

Deno.test("E16 on_handshake: adds headers, refuses, and the text of an error isn't sent", async () => {
  const ctx = new Context();
  await using listener = ctx.listen({
    ...local,
    async onHandshake(request) {
      switch (new URL(request.url).pathname) {
        case "/headers":
          return { headers: [["X-One", "1"], ["X-One", "2"]], data: "given" };
        case "/false":
          return false;
        case "/response":
          return new Response("teapot", { status: 418, headers: { "X-Why": "tea" } });
        case "/throw":
          throw await Promise.resolve(new Error("secret of the application"));
      }
    },
  });
  const heads: Record<string, string> = {};
  for (const path of ["/headers", "/false", "/response", "/throw", "/other"]) {
    using peer = await rawClient(listener.port, {}, path);
    heads[path] = peer.head + (peer.head.startsWith("HTTP/1.1 101") ? "" : text(await peer.rest()));
    if (path === "/headers") assertEquals([...listener.connections][0].data, "given");
  }
  assert(heads["/headers"].includes("X-One: 1\r\nX-One: 2\r\n"));
  assert(heads["/false"].startsWith("HTTP/1.1 403 "));
  assert(heads["/response"].startsWith("HTTP/1.1 418 "));
  assert(
    heads["/response"].toLowerCase().includes("x-why: tea") &&
      heads["/response"].endsWith("teapot"),
  );
  assert(heads["/throw"].startsWith("HTTP/1.1 500 ") && !heads["/throw"].includes("secret"));
  assert(heads["/other"].startsWith("HTTP/1.1 101 "));
});

Deno.test("E17 plain HTTP on a listener gets 426 and is closed", async () => {
  const ctx = new Context();
  await using listener = ctx.listen({ ...local });
  const response = await fetch(`http://127.0.0.1:${listener.port}/`);
  await response.body?.cancel();
  assertEquals([response.status, response.headers.get("upgrade")], [426, "websocket"]);
});

Deno.test("E18 protocol, get_protocol: both sides have the subprotocol", async () => {
  await using both = await pair({ protocols: ["chat", "other"] }, {
    protocols: ["x", "other", "chat"],
  });
  assertEquals([both.client.protocol, both.server.protocol], ["chat", "chat"]);
  await using none = await pair({ protocols: ["chat"] }, { protocols: "x" });
  assertEquals([none.client.protocol, none.server.protocol], ["", ""]);
  await using chosen = await pair({ selectProtocol: (offered) => offered.at(-1) }, {
    protocols: ["a", "b"],
  });
  assertEquals(chosen.client.protocol, "b");
});

Deno.test("E19 max_message_size: the limit is inclusive, counts all fragments, and 0 means none", async () => {
  const got = new Events<number>();
  await using both = await pair({
    maxMessageSize: 64,
    onMessage: (_conn, data) => got.push(data.length),
    onError: () => {},
  });
  both.client.send(new Uint8Array(64));
  assertEquals(await got.next(), 64);
  both.client.sendFragment(new Uint8Array(64));
  both.client.sendFragment(new Uint8Array(1), { final: true });
  assertEquals((await both.client.closed).code, 1009);
  await using free = await pair({
    maxMessageSize: 0,
    onMessage: (_c, data) => got.push(data.length),
  });
  free.client.send(new Uint8Array(3_000_000));
  assertEquals(await got.next(), 3_000_000);
});

Deno.test("E20 connections: contains only open and closing ones", async () => {
  await using both = await pair();
  const { ctx, client, server } = both;
  const connecting = ctx.connect(both.listener.url);
  assertEquals(new Set(ctx.connections), new Set([client, server]));
  connecting.terminate();
  client.close();
  assertEquals([client.state, ctx.connections.has(client)], ["closing", true]);
  await client.closed;
  assertEquals(ctx.connections.has(client), false);
});

Deno.test("E22 send, send_binary: they throw when not open, and in the middle of an unfinished message", async () => {
  await using both = await pair({ onMessage: () => {} });
  const { client } = both;
  client.sendFragment("unfinished");
  for (const send of [() => client.send("x"), () => client.sendBinary("x")]) {
    assertEquals((assertThrows(send) as Error).name, "InvalidStateError");
  }
  client.sendFragment("", { final: true });
  client.close();
  const error = assertThrows(() => client.send("lost")) as Error & { data: unknown };
  assertEquals([error.name, error.data], ["ConnectionClosedError", "lost"]);
});

Deno.test("E23 send_ping, send_pong: payloads are sent, and more than 125 bytes throw", async () => {
  const events = new Events<string>();
  await using both = await pair(recorder(events));
  assertEquals(await events.next(), "connect");
  await both.client.ping("p");
  both.client.pong("q");
  assertEquals(await events.take(2), ["ping: p", "pong: q"]);
  assertThrows(() => both.client.ping("x".repeat(126)), RangeError, "126 bytes");
  assertThrows(() => both.client.pong("x".repeat(126)), RangeError, "126 bytes");
});

Deno.test("E24 send_fragment: the first fragment decides the type, and control frames may come in between", async () => {
  const ctx = new Context();
  await using listener = ctx.listen({
    ...local,
    onConnect(conn) {
      conn.sendFragment(new Uint8Array([1]));
      conn.sendFragment("");
      conn.pong();
      conn.sendFragment("b", { final: true });
    },
  });
  using peer = await rawClient(listener.port);
  const opcodes = new Set<number>();
  const data = [];
  for (let i = 0; i < 4; i++) {
    const { fin, opcode, payload } = (await peer.frame())!;
    opcodes.add(opcode);
    if (opcode !== PONG) data.push([fin, opcode, [...payload]]);
  }
  assert(opcodes.has(PONG));
  assertEquals(data, [[false, BINARY, [1]], [false, CONTINUATION, []], [true, CONTINUATION, [98]]]);
});

Deno.test("E25 send_queue_size: counts payload bytes without framing, and is 0 when closed", async () => {
  await using both = await pair();
  both.client.send("x".repeat(10));
  both.client.send(new Uint8Array(5));
  assertEquals(both.client.queuedBytes, 15);
  both.client.terminate();
  assertEquals(both.client.queuedBytes, 0);
});

Deno.test("E26 on_drain: called each time the queue empties, also while closing", async () => {
  const drains = new Events<string>();
  await using both = await pair({ onMessage: () => {} }, { onDrain: (c) => drains.push(c.state) });
  both.client.send("1");
  await drains.next();
  both.client.send("2");
  both.client.close();
  assertEquals(await drains.next(), "closing");
});

Deno.test("E27 stash: each connection has its data for its lifetime", async () => {
  await using both = await pair({ data: { hits: 0 } }, { data: "mine" });
  (both.server as Connection<{ hits: number }>).data.hits++;
  assertEquals([both.server.data, both.client.data], [{ hits: 1 }, "mine"]);
  both.client.close();
  await both.client.closed;
  assertEquals(both.client.data, "mine");
});

Deno.test("E28 peer_address: has no brackets and no port, and is null if unknown", async () => {
  const ctx = new Context();
  assertEquals(ctx.connect(`ws://127.0.0.1:${freePort()}/`).remoteAddress, null);
  for (const hostname of ["127.0.0.1", "::1"]) {
    const seen = new Events<string>();
    await using listener = ctx.listen({
      hostname,
      onConnect: (conn) => seen.push((conn.remoteAddress as Deno.NetAddr).hostname),
    });
    await ctx.connect(listener.url).opened;
    assertEquals(await seen.next(), hostname);
  }
});

Deno.test("E29 close(code, reason): pending messages are sent first, and only valid codes are accepted", async () => {
  const events = new Events<string>();
  await using both = await pair(recorder(events));
  await events.next();
  const { client } = both;
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 1.5]) {
    assertThrows(() => client.close(code), RangeError, `code ${code}`);
  }
  assertThrows(() => client.close(1000, "é".repeat(62)), RangeError, "124 bytes");
  for (let i = 0; i < 100; i++) client.send(`${i}`);
  client.close(3000, "r".repeat(123));
  client.close(4000);
  const all = await events.take(101);
  assertEquals(all.slice(0, 100), Array.from({ length: 100 }, (_, i) => `message: ${i}`));
  assertEquals(all[100], `close: 3000 ${"r".repeat(123)}`);
  const cancelled = both.ctx.connect(both.listener.url);
  cancelled.close();
  assertEquals(((await assertRejects(() => cancelled.opened)) as Error).name, "AbortError");
});

Deno.test("E30 pause_recv, resume_recv: may be called repeatedly, and on a closed connection", async () => {
  const got = new Events<unknown>();
  await using both = await pair({ onMessage: (_conn, data) => got.push(data) });
  both.server.pause();
  both.server.pause();
  both.client.send("later");
  await both.client.ping();
  assertEquals(got.all, []);
  both.server.resume();
  both.server.resume();
  assertEquals(await got.next(), "later");
  both.server.terminate();
  both.server.pause();
  both.server.resume();
  assertEquals(both.server.isPaused, false);
});

Deno.test("E31 is_connected, is_connecting: the property state corresponds to them", async () => {
  const ctx = new Context();
  await using listener = ctx.listen({ ...local });
  const states: string[] = [];
  const conn = ctx.connect(listener.url, {
    onConnect: (conn) => states.push(conn.state),
    onClose: (conn) => states.push(conn.state),
  });
  states.push(conn.state);
  await conn.opened;
  conn.close();
  states.push(conn.state);
  await conn.closed;
  assertEquals(states, ["connecting", "open", "closing", "closed"]);
});

Deno.test("E32 an exception in a callback is caught; in on_error, too, without recursion", async () => {
  const events = new Events<string>();
  const logged: unknown[] = [];
  const { error } = console;
  console.error = (...parts: unknown[]) => void logged.push(parts[0]);
  try {
    await using both = await pair({
      onMessage(_conn, data) {
        throw new Error(`in onMessage ${data}`);
      },
      onError(_conn, error) {
        events.push((error as Error).message);
        throw new Error("in onError");
      },
    });
    both.client.send("1");
    both.client.send("2");
    assertEquals(await events.take(2), ["in onMessage 1", "in onMessage 2"]);
    await both.client.ping();
    assertEquals([both.server.state, logged.length], ["open", 2]);
  } finally {
    console.error = error;
  }
});

Deno.test("E33 debug: prints a readable trace of handshake, frames, queue and state", async () => {
  const lines: string[] = [];
  await using both = await pair({ onMessage: (conn) => conn.close(4000, "enough") }, {
    headers: { Authorization: "Bearer secret" },
    debug: (line) => void lines.push(line),
    onMessage: () => {},
  }, {});
  both.client.send("hello");
  await both.client.closed;
  const text = lines.join("\n");
  for (
    const part of [
      "client] handshake ws://127.0.0.1:",
      "response upgrade: websocket",
      "state open",
      "-> text 5 bytes",
      "queue 5 bytes, 1 messages",
      '<- close 8 bytes 4000 (private use) "enough"',
      "state closing",
      "state closed: received 4000",
    ]
  ) assert(text.includes(part), `${part} is missing in:\n${text}`);
  await using traced = await pair({ debug: (line) => void lines.push(line) }, {
    headers: { Authorization: "Bearer secret" },
  });
  assertEquals(traced.server.state, "open");
  assert(lines.join("\n").includes("request authorization: (hidden)"));
  assert(!lines.join("\n").includes("secret"));
});

Deno.test("E33 SLUICE_DEBUG=1 is read if that is permitted; if not, there is no prompt", async () => {
  const mod = new URL("../../mod.ts", import.meta.url).href;
  const code = `import { Context } from "${mod}";
    const ctx = new Context();
    const listener = ctx.listen({ hostname: "127.0.0.1" });
    await ctx.connect(listener.url).opened;
    await ctx.shutdown();`;
  for (const permitted of [true, false]) {
    const flags = ["--no-prompt", "--allow-net"];
    if (permitted) flags.push("--allow-env=SLUICE_DEBUG");
    const result = await runText(code, flags, [], { SLUICE_DEBUG: "1" });
    assertEquals(result.code, 0, result.stderr);
    assertEquals(result.stderr.includes("] state open"), permitted);
  }
});

Deno.test("E37 TLS: self-signed certificates with insecure, custom authorities and client certificates work", async () => {
  using certificates = makeCertificates();
  await using ctx = new Context();
  const listener = ctx.listen({ ...local, tls: certificates.stranger });
  const url = `wss://localhost:${listener.port}/`;
  await assertRejects(() => ctx.connect(url, { onError: () => {} }).opened);
  await ctx.connect(url, { tls: { insecure: true } }).opened;
  const own = ctx.listen({ ...local, tls: certificates.server });
  const tls = { caCerts: [certificates.ca] };
  await ctx.connect(`wss://localhost:${own.port}/`, { tls: { ...tls, ...certificates.client } })
    .opened;
});

Deno.test("E40 shutdown: can be called in any callback, also recursively", async () => {
  for (const name of ["onConnect", "onMessage", "onClose"] as const) {
    const done = Promise.withResolvers<unknown>();
    const both = await pair(
      { onMessage: (conn, data) => conn.send(data) },
      { onMessage: () => {} },
    );
    const { ctx, listener } = both;
    const conn = ctx.connect(listener.url, {
      onMessage: () => {},
      [name]: () => {
        done.resolve(ctx.shutdown({ timeout: 1000 }));
        ctx.shutdown();
      },
    });
    await conn.opened;
    if (name !== "onConnect") conn.send("echo");
    if (name === "onClose") conn.close();
    await done.promise;
    assertEquals(ctx.connections.size, 0);
    assertThrows(() => ctx.connect(listener.url), Error, "shut down");
  }
});

Deno.test("custom extensions are offered, negotiated, and visible on both ends", async () => {
  const offer = "x-reverse; level=2";
  await using both = await pair({
    onHandshake: (request) => {
      assertEquals(request.headers.get("sec-websocket-extensions"), offer);
      return { extensions: "x-reverse; level=1" };
    },
  }, { extensions: [offer] });
  assertEquals(both.client.extensions, "x-reverse; level=1");
  assertEquals(both.server.extensions, "x-reverse; level=1");
  // Accepting an extension that wasn't offered is an error of the application.
  const conn = both.ctx.connect(both.listener.url, {
    extensions: ["other"],
    onError: () => {},
  });
  both.listener.on({ onHandshake: () => ({ extensions: "x-reverse" }) });
  const error = await assertRejects(() => conn.opened, HandshakeError);
  assertEquals((error as HandshakeError).status, 500);
});

Deno.test("K6 data and close in one segment: the message is delivered before the close", async () => {
  const events = new Events<string>();
  const ctx = new Context();
  await using listener = ctx.listen({ ...local, ...recorder(events) });
  using peer = await rawClient(listener.port);
  await peer.send(frame(TEXT, "last"), closeFrame(1000));
  assertEquals(await events.take(3), ["connect", "message: last", "close: 1000 "]);
});
