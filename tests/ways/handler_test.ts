import { assert, assertEquals, assertMatch } from "@std/assert";
import { Context, type HttpHandler, type Listener } from "../../mod.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { pattern, readExactly, writeAll } from "../transport/streams.ts";
import { standstill, turn, until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual_clock.ts";
import { echoing, exercise, ROOM } from "./_exercise.ts";

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const UPGRADE = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  `Sec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n`;
const HELLO = "\x81\x82\0\0\0\0hi";

/** Answers requests by their paths. */
const handler: HttpHandler = async (request, info) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/peer") return Response.json(info.remoteAddr);
  if (pathname === "/url") return new Response(request.url);
  if (pathname === "/echo") return new Response(request.body);
  if (pathname === "/length") return new Response(String((await request.arrayBuffer()).byteLength));
  if (pathname === "/slow") { for (let turns = 0; turns < 20; turns++) await turn(); }
  if (pathname === "/stream") {
    return new Response(ReadableStream.from(async function* () {
      for (const part of ["a", "b", "c"]) {
        await turn();
        yield new TextEncoder().encode(part);
      }
    }()));
  }
  return new Response(`${request.method} ${pathname}`);
};

function listen(ctx: Context): Listener {
  return ctx.listen({ port: 0, hostname: "127.0.0.1", handler, ...echoing() });
}

/** Sends bytes over a new connection, and reads until the other side ends it or `until` has come. */
async function talk(port: number, sent: string, until?: string): Promise<string> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await writeAll(conn, Uint8Array.from(sent, (char) => char.charCodeAt(0)));
  let text = "";
  const buffer = new Uint8Array(4096);
  while (until === undefined || !text.includes(until)) {
    const count = await conn.read(buffer);
    if (count === null) break;
    text += String.fromCharCode(...buffer.subarray(0, count!));
  }
  return text;
}

Deno.test("HTTP and WebSockets share a port", async () => {
  await using ctx = new Context();
  const listener = listen(ctx);
  const url = `http://127.0.0.1:${listener.port}`;
  assertEquals(await (await fetch(`${url}/hello`)).text(), "GET /hello");
  const body = pattern(3 << 20);
  const response = await fetch(`${url}/echo`, { method: "POST", body });
  assertEquals(new Uint8Array(await response.arrayBuffer()), body);
  const streamed = await fetch(`${url}/length`, {
    method: "POST",
    body: ReadableStream.from([body, body]),
  });
  assertEquals(await streamed.text(), String(2 * body.length));
  assertEquals(await (await fetch(`${url}/stream`)).text(), "abc");
  assertEquals((await fetch(`${url}/x`, { method: "HEAD" })).headers.get("content-length"), "7");
  const peer = await (await fetch(`${url}/peer`)).json();
  assertEquals(peer.hostname, "127.0.0.1");
  await exercise(ctx.connect(listener.url, ROOM));
});

Deno.test("pipelined requests are answered in order", async () => {
  await using ctx = new Context();
  const { port } = listen(ctx);
  const text = await talk(
    port,
    "GET /slow HTTP/1.1\r\nHost: x\r\n\r\nHEAD /b HTTP/1.1\r\nHost: x\r\n\r\n" +
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" +
      "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
  );
  assertEquals(text.match(/HTTP\/1\.1 200/g)?.length, 4);
  assert(text.indexOf("GET /slow") < text.indexOf("abc"));
  assert(text.indexOf("abc") < text.indexOf("GET /last"));
});

Deno.test("Expect: 100-continue is answered before the body is sent", async () => {
  await using ctx = new Context();
  const { port } = listen(ctx);
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await writeAll(
    conn,
    "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
  );
  assertMatch(new TextDecoder().decode(await readExactly(conn, 25)), /^HTTP\/1.1 100 Continue/);
  await writeAll(conn, "12345");
  assertMatch(new TextDecoder().decode(await readExactly(conn, 15)), /^HTTP\/1.1 200 OK/);
});

for (
  const [name, before] of [
    ["one answered request", "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["two that are not", "GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a body", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nGET "],
    ["a HEAD", "HEAD /slow HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a stream", "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"],
  ]
) {
  Deno.test(`an upgrade with its first frame is accepted after ${name}`, async () => {
    await using ctx = new Context();
    const listener = listen(ctx);
    const text = await talk(listener.port, before + UPGRADE + HELLO, "\x81\x02hi");
    const answers = text.match(/HTTP\/1\.1 \d+/g)!;
    assertEquals(answers.at(-1), "HTTP/1.1 101");
    assertEquals(answers.length, 1 + before.match(/HTTP/g)!.length);
    assert(text.endsWith("\x81\x02hi"));
  });
}

Deno.test("an upgrade after ordinary requests on the same connection gives a full WebSocket", async () => {
  await using ctx = new Context();
  const listener = listen(ctx);
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
  await writeAll(conn, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  let text = "";
  while (!text.endsWith("GET /a")) text += new TextDecoder().decode(await readExactly(conn, 1));
  await exercise(ctx.adopt(conn, { role: "client", url: "ws://x/", ...ROOM }));
});

for (
  const [name, request] of [
    ["both lengths", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc"],
    ["a bad chunk size", "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"],
    ["a chunk without end", "Transfer-Encoding: chunked\r\n\r\n1\r\nabc"],
    ["two lengths", "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"],
    ["a bare line feed", "A: b\n\r\n\r\n"],
  ]
) {
  Deno.test(`a request with ${name} leads to 400 and ends the connection`, async () => {
    await using ctx = new Context();
    const { port } = listen(ctx);
    const alone = await talk(port, `POST /length HTTP/1.1\r\nHost: x\r\n${request}`);
    assertMatch(alone, /HTTP\/1.1 400/);
    const later = await talk(
      port,
      `GET /slow HTTP/1.1\r\nHost: x\r\n\r\nPOST /length HTTP/1.1\r\nHost: x\r\n${request}`,
    );
    assertMatch(later, /HTTP\/1.1 200 OK[^]*GET \/slow[^]*HTTP\/1.1 400/);
  });
}

Deno.test("the handler is notified when its client disconnects", async () => {
  await using ctx = new Context();
  const aborted = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  const { port } = ctx.listen({
    port: 0,
    handler: (request) => {
      request.signal.addEventListener("abort", () => aborted.resolve());
      started.resolve();
      return new Response(
        new ReadableStream({
          async pull(controller) {
            await turn();
            controller.enqueue(new Uint8Array(1024));
          },
        }),
      );
    },
  });
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await writeAll(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await started.promise;
  conn.close();
  await aborted.promise;
});

Deno.test("over TLS request.url begins with https, and wss works", async () => {
  using certificates = makeCertificates();
  const { ca, server } = certificates;
  await using ctx = new Context({ tls: { caCerts: [ca] } });
  const listener = ctx.listen({ port: 0, tls: server, handler, ...echoing() });
  using client = Deno.createHttpClient({ caCerts: [ca] });
  const url = `https://localhost:${listener.port}/url`;
  assertEquals(await (await fetch(url, { client })).text(), url);
  const body = pattern(1 << 20);
  const echo = await fetch(`https://localhost:${listener.port}/echo`, {
    client,
    method: "POST",
    body,
  });
  assertEquals(new Uint8Array(await echo.arrayBuffer()), body);
  await exercise(ctx.connect(`wss://localhost:${listener.port}/`, ROOM));
});

Deno.test("10,000 requests on kept-alive connections are answered while 100 WebSockets echo", async () => {
  await using ctx = new Context();
  const listener = listen(ctx);
  let echoes = 0;
  let running = true;
  const sockets = Array.from({ length: 100 }, () =>
    ctx.connect(listener.url, {
      onConnect: (conn) => void conn.send("x"),
      onMessage: (conn) => {
        echoes++;
        if (running) turn().then(() => conn.state === "open" && conn.send("x"));
      },
    }));
  await Promise.all(sockets.map((conn) => conn.opened));
  const request = new TextEncoder().encode("GET /k HTTP/1.1\r\nHost: x\r\n\r\n");
  await Promise.all(Array.from({ length: 20 }, async () => {
    using conn = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
    let text = "";
    const buffer = new Uint8Array(4096);
    for (let i = 0; i < 500; i++) {
      await writeAll(conn, request);
      for (text = ""; !text.endsWith("GET /k");) {
        const count = await conn.read(buffer);
        assert(count !== null);
        text += new TextDecoder().decode(buffer.subarray(0, count!));
      }
      assert(text.startsWith("HTTP/1.1 200 OK"));
    }
  }));
  running = false;
  assert(echoes > 1000, `${echoes} echoes`);
  const records = await Promise.all(sockets.map((conn) => {
    conn.close();
    return conn.closed;
  }));
  assert(records.every((record) => record.wasClean));
});

Deno.test("shutdown answers pending requests, and ends idle connections", async () => {
  const ctx = new Context();
  const asked = Promise.withResolvers<void>(), answer = Promise.withResolvers<Response>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    handler(request) {
      if (!request.url.endsWith("/slow")) return new Response("at once");
      asked.resolve();
      return answer.promise;
    },
  });
  using idle = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
  await writeAll(idle, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  assertMatch(await readUntil(idle, "at once"), /^HTTP\/1.1 200/);
  const busy = talk(listener.port, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
  await asked.promise;
  const shutdown = ctx.shutdown();
  assertEquals(await idle.read(new Uint8Array(1)), null);
  answer.resolve(new Response("in the end"));
  assertMatch(await busy, /in the end/);
  await shutdown;
  await listener.finished;
});

/** Reads until a text has come. */
async function readUntil(conn: Deno.Conn, end: string): Promise<string> {
  const buffer = new Uint8Array(4096);
  for (let text = "";;) {
    const count = await conn.read(buffer);
    assert(count !== null, `the stream ended after ${text}`);
    text += String.fromCharCode(...buffer.subarray(0, count!));
    if (text.endsWith(end)) return text;
  }
}

/** Reads in the background; reports whether the connection has ended. */
function ending(conn: Deno.Conn): { over: boolean } {
  const state = { over: false };
  conn.read(new Uint8Array(1)).then((count) => state.over = count === null);
  return state;
}

const SECOND = 1000;

for (
  const [name, more] of [
    ["nothing", ""],
    ["half a head", "GET /b HTTP/1.1\r\nHost: x\r\n"],
  ] as const
) {
  Deno.test(`a kept-alive connection with ${name} after a request ends at the timeout`, async () => {
    using clock = new VirtualClock();
    await using ctx = new Context();
    const asked = Promise.withResolvers<void>(), answer = Promise.withResolvers<Response>();
    const listener = ctx.listen({
      hostname: "127.0.0.1",
      httpIdleTimeout: 300 * SECOND,
      handler: () => (asked.resolve(), answer.promise),
    });
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
    await writeAll(conn, `GET /a HTTP/1.1\r\nHost: x\r\n\r\n${more}`);
    await asked.promise;
    // The timeout doesn't apply while a handler is working.
    await clock.advance(1000 * SECOND);
    answer.resolve(new Response("late"));
    assertMatch(await readUntil(conn, "late"), /^HTTP\/1.1 200/);
    const state = ending(conn);
    // The connection is idle from now on.
    await until(() => clock.armed > 0);
    await clock.advance(299 * SECOND);
    await turn();
    assert(!state.over);
    await clock.advance(SECOND);
    await until(() => state.over);
    conn.close();
    listener.close();
    await listener.finished;
  });
}

Deno.test("a connection stays open as long as requests keep coming", async () => {
  using clock = new VirtualClock();
  await using ctx = new Context();
  const httpIdleTimeout = 800 * SECOND;
  const listener = ctx.listen({ hostname: "127.0.0.1", handler, httpIdleTimeout });
  using conn = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
  for (let i = 0; i < 5; i++) {
    await writeAll(conn, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
    await readUntil(conn, "GET /a");
    await clock.advance(799 * SECOND);
  }
});

Deno.test("a stalled body ends the connection, a slow one doesn't", async () => {
  using clock = new VirtualClock();
  await using ctx = new Context();
  let requests = 0, received = 0;
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    httpIdleTimeout: 400 * SECOND,
    async handler(request) {
      requests++;
      for await (const chunk of request.body!) received += chunk.length;
      return new Response("all of it");
    },
  });
  const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n";
  {
    using conn = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
    await writeAll(conn, head + "1");
    await until(() => received === 1);
    const state = ending(conn);
    await clock.advance(399 * SECOND);
    await turn();
    assert(!state.over);
    await clock.advance(SECOND);
    await until(() => state.over);
  }
  received = 0;
  using conn = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
  await writeAll(conn, head);
  await until(() => requests === 2);
  for (let i = 1; i <= 8; i++) {
    await clock.advance(300 * SECOND);
    await writeAll(conn, Uint8Array.of(i));
    await until(() => received === i);
  }
  assertMatch(await readUntil(conn, "all of it"), /^HTTP\/1.1 200/);
});

Deno.test("a response that isn't read ends the connection", async () => {
  using clock = new VirtualClock();
  const aborted = Promise.withResolvers<void>();
  await using ctx = new Context();
  let pulled = 0;
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    httpIdleTimeout: 100 * SECOND,
    handler: () =>
      new Response(
        new ReadableStream({
          pull(controller) {
            pulled++;
            controller.enqueue(new Uint8Array(256 * 1024));
          },
          cancel: () => aborted.resolve(),
        }),
      ),
  });
  using conn = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
  await writeAll(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  assert(await standstill(() => pulled) > 1);
  await clock.advance(125 * SECOND);
  await aborted.promise;
});

Deno.test("maxConnections applies to HTTP requests that arrive at the same time", async () => {
  await using ctx = new Context();
  const answer = Promise.withResolvers<Response>();
  const listener = ctx.listen({
    port: 0,
    hostname: "127.0.0.1",
    maxConnections: 2,
    handler: () => answer.promise.then((response) => response.clone()),
  });
  const all = Array.from(
    { length: 10 },
    () => talk(listener.port, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
  );
  const refused = all.map((text) => text.then((text) => text.startsWith("HTTP/1.1 503 ")));
  // The accepted requests are answered after all others were refused.
  let count = 0;
  await new Promise<void>((resolve) => {
    for (const one of refused) one.then((is) => is && ++count === 8 && resolve());
  });
  answer.resolve(new Response("ok"));
  assertEquals((await Promise.all(refused)).filter((is) => is).length, 8);
});

Deno.test("maxConnections counts connections that serve HTTP", async () => {
  await using ctx = new Context();
  const listener = ctx.listen({ port: 0, hostname: "127.0.0.1", handler, maxConnections: 1 });
  using conn = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
  await writeAll(conn, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  await readExactly(conn, 12);
  assertMatch(await talk(listener.port, UPGRADE), /^HTTP\/1.1 503 /);
  assertMatch(await talk(listener.port, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n"), /^HTTP\/1.1 503 /);
});
