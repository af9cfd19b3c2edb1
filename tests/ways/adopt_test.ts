import { assert, assertEquals, assertInstanceOf, assertMatch, assertThrows } from "@std/assert";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { PassThrough } from "node:stream";
import { type AdoptOptions, type AdoptSource, type CloseRecord, Context } from "../../mod.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { failure, mayFail } from "../support/failure.ts";
import { readExactly, tcpPair, writeAll } from "../transport/streams.ts";
import { duplexPair } from "../support/duplex_pair.ts";
import { echoing, exercise, ROOM } from "./_exercise.ts";
import { turn, until } from "../support/until.ts";

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const REQUEST = "GET /chat?room=1 HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n" +
  `Connection: Upgrade\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n` +
  "Sec-WebSocket-Protocol: a, b\r\n\r\n";
/** A masked text frame with "hi" and a zero key, twice. */
const FRAMES = "\x81\x82\0\0\0\0hi\x81\x82\0\0\0\0ho";
const latin1 = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));

function streamPairs(): [AdoptSource, AdoptSource] {
  const there = new TransformStream<Uint8Array, Uint8Array>();
  const back = new TransformStream<Uint8Array, Uint8Array>();
  return [
    { readable: back.readable, writable: there.writable },
    { readable: there.readable, writable: back.writable },
  ];
}

async function unixPair(): Promise<[Deno.Conn, Deno.Conn]> {
  const dir = await Deno.makeTempDir();
  using listener = Deno.listen({ transport: "unix", path: `${dir}/s` });
  const pair = await Promise.all([
    Deno.connect({ transport: "unix", path: `${dir}/s` }),
    listener.accept(),
  ]);
  return pair;
}

async function tlsPair(): Promise<[Deno.Conn, Deno.Conn]> {
  const { ca, server } = await makeCertificates();
  using listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, ...server });
  const near = Deno.connectTls({ hostname: "localhost", port: listener.addr.port, caCerts: [ca] });
  return await Promise.all([near, listener.accept()]);
}

for (
  const [name, pair] of [
    ["Deno.TcpConn", tcpPair],
    ["Deno.TlsConn", tlsPair],
    ["Deno.UnixConn", unixPair],
    ["a pair of streams", streamPairs],
  ] as [string, () => [AdoptSource, AdoptSource] | Promise<[AdoptSource, AdoptSource]>][]
) {
  Deno.test(`adopt performs the handshake over ${name}, in both roles`, async () => {
    await using ctx = new Context();
    const [near, far] = await pair();
    const ended = Promise.withResolvers<CloseRecord>();
    const server = ctx.adopt(far, { ...echoing(ended.resolve), protocols: ["b"] });
    assertEquals([server.state, server.role], ["connecting", "server"]);
    const client = ctx.adopt(near, {
      role: "client",
      url: "ws://example.com/chat?x=1",
      protocols: ["a", "b"],
      headers: { "x-test": "1" },
      ...ROOM,
    });
    await Promise.all([server.opened, client.opened]);
    assertEquals([client.protocol, server.protocol], ["b", "b"]);
    const secure = name === "Deno.TlsConn" ? "s" : "";
    assertEquals(server.request?.url, `http${secure}://example.com/chat?x=1`);
    assertEquals(server.request?.headers.get("x-test"), "1");
    assertEquals(server.url, `ws${secure}://example.com/chat?x=1`);
    assertEquals(ctx.connections.size, 2);
    await exercise(client);
    assertEquals((await ended.promise).code, 4001);
    assertEquals(ctx.connections.size, 0);
  });

  Deno.test(`adopt continues after a handshake over ${name}, in both roles`, async () => {
    await using ctx = new Context();
    const [near, far] = await pair();
    const request = new Request("http://example.com/x");
    const events: string[] = [];
    const server = ctx.adopt(far, {
      ...echoing(),
      handshake: false,
      protocol: "p",
      extensions: "x-e",
      request,
      onConnect: () => void events.push("connect"),
    });
    events.push("returned");
    assertEquals([server.state, server.protocol, server.extensions], ["open", "p", "x-e"]);
    assertEquals(server.request, request);
    assertEquals(server.url, "ws://example.com/x");
    const client = ctx.adopt(near, {
      role: "client",
      handshake: false,
      url: "ws://example.com/x",
      ...ROOM,
    });
    client.send("at once");
    assertEquals(await client.receive(), "at once");
    assertEquals(events, ["returned", "connect"]);
    await exercise(client);
  });
}

Deno.test("any number of the handshake's bytes may have been read before adopt", async () => {
  await using ctx = new Context();
  const bytes = latin1(REQUEST + FRAMES);
  for (let split = 0; split <= bytes.length; split += split < 20 ? 1 : 13) {
    const [near, far] = await tcpPair();
    const initialData = bytes.slice(0, split);
    const conn = ctx.adopt(far, { initialData, protocols: ["b", "a"] });
    initialData.fill(0);
    await writeAll(near, bytes.subarray(split));
    assertEquals([await conn.receive(), await conn.receive()], ["hi", "ho"], `split at ${split}`);
    assertEquals(conn.protocol, "b");
    const answer = new TextDecoder().decode(await readExactly(near, 12));
    assertEquals(answer, "HTTP/1.1 101");
    conn.terminate();
    near.close();
  }
});

Deno.test("first frames that the application has read with its handshake aren't lost", async () => {
  await using ctx = new Context();
  for (const split of [0, 1, 7, 8, 9, 16]) {
    const [near, far] = await tcpPair();
    const got: unknown[] = [];
    const done = Promise.withResolvers<void>();
    ctx.adopt(far, {
      handshake: false,
      initialData: latin1(FRAMES).slice(0, split),
      onMessage: (_conn, data) => {
        if (got.push(data) === 2) done.resolve();
      },
    });
    assertEquals(got.length, 0, "no callback before adopt has returned");
    await writeAll(near, latin1(FRAMES).slice(split));
    await done.promise;
    assertEquals(got, ["hi", "ho"]);
    near.close();
  }
});

Deno.test("a request that the application has read is answered", async () => {
  await using ctx = new Context();
  const [near, far] = await tcpPair();
  const request = new Request("https://example.com/chat", {
    headers: {
      upgrade: "websocket",
      connection: "Upgrade",
      "sec-websocket-key": KEY,
      "sec-websocket-version": "13",
    },
  });
  const conn = ctx.adopt(far, {
    request,
    initialData: latin1(FRAMES),
    headers: { "x-served-by": "us" },
    onHandshake: (asked) => ({
      headers: { "x-path": new URL(asked.url).pathname, "x-pad": "x".repeat(60) },
    }),
  });
  assertEquals([await conn.receive(), await conn.receive()], ["hi", "ho"]);
  assertEquals(conn.request?.url, "https://example.com/chat");
  const answer = new TextDecoder().decode(await readExactly(near, 160));
  assertMatch(answer, /s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/);
  assertMatch(answer, /x-served-by: us\r\nx-path: \/chat/i);
  near.close();
});

Deno.test("sockets of a node:http server can be adopted", async () => {
  await using ctx = new Context();
  const server = createServer((_request, response) => response.end("hello"));
  const ended = Promise.withResolvers<CloseRecord>();
  server.on("upgrade", (request, socket, head) => {
    const conn = ctx.adopt(socket, { request, initialData: head, ...echoing(ended.resolve) });
    conn.opened.then(() => assertEquals(conn.remoteAddress?.transport, "tcp"));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  assertEquals(await (await fetch(`http://127.0.0.1:${port}/`)).text(), "hello");
  await exercise(ctx.connect(`ws://127.0.0.1:${port}/`, ROOM));
  assertEquals((await ended.promise).wasClean, true);
  await new Promise((done) => server.close(done));
});

Deno.test("a refused or malformed handshake gets a response, and ends the connection", async () => {
  await using ctx = new Context();
  for (
    const [sent, status, options] of [
      ["GET / HTTP/1.0\r\n\r\n", 426, {}],
      ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, {}],
      ["\x16\x03\x01", 400, {}],
      ["POST / HTTP/1.1\r\nHost: x\r\n\r\n", 426, {}],
      [REQUEST, 403, { onHandshake: () => false }],
      [REQUEST, 403, { origins: ["https://a.example"], headers: {} }],
    ] as [string, number, AdoptOptions][]
  ) {
    const [near, far] = await tcpPair();
    const events: string[] = [];
    if (options.origins) await writeAll(near, "");
    const conn = ctx.adopt(far, {
      ...options,
      onError: (_conn, error) => void events.push((error as Error).name),
      onClose: (_conn, record) => void events.push(String(record.code)),
    });
    const head = options.origins
      ? sent.replace("Host:", "Origin: https://b.example\r\nHost:")
      : sent;
    await writeAll(near, latin1(head));
    const answer = new TextDecoder().decode(await readExactly(near, 12));
    assertEquals(answer, `HTTP/1.1 ${status}`);
    near.close();
    await failure(conn.opened);
    await conn.closed;
    await until(() => events.length === 2);
    assertEquals(events, ["HandshakeError", "1006"]);
  }
});

Deno.test("a stream that ends during the handshake fails it, in either role", async () => {
  await using ctx = new Context();
  for (const options of [{}, { role: "client", url: "ws://x/" }] as AdoptOptions[]) {
    const pair = streamPairs();
    const conn = ctx.adopt(pair[0], options);
    const other = pair[1] as { readable: ReadableStream; writable: WritableStream };
    const writer = other.writable.getWriter();
    mayFail(other.readable.pipeTo(new WritableStream()), "the library closes the stream");
    const written = Promise.all([writer.write(latin1("GET / HT")), writer.close()]);
    await failure(conn.opened);
    assertEquals((await conn.closed).code, 1006);
    await written;
  }
});

/** Waits until the other side ends its stream, and ignores what it sends. */
async function gone(conn: Deno.Conn): Promise<void> {
  try {
    while (await conn.read(new Uint8Array(1024)) !== null);
  } catch (error) {
    assert(error instanceof Deno.errors.ConnectionReset);
  }
  conn.close();
}

Deno.test("a handshake that takes too long, or is cancelled, ends the stream, in either role", async () => {
  await using ctx = new Context();
  for (
    const options of [
      { handshakeTimeout: 30 },
      { role: "client", url: "ws://x/", connectTimeout: 30 },
    ] as AdoptOptions[]
  ) {
    const [near, far] = await tcpPair();
    const conn = ctx.adopt(far, options);
    const error = await failure(conn.opened);
    assertEquals(error.name, "TimeoutError");
    await conn.closed;
    // The stream is closed, too.
    await gone(near);
  }
  for (const options of [{}, { role: "client", url: "ws://x/" }] as AdoptOptions[]) {
    const [near, far] = await tcpPair();
    const conn = ctx.adopt(far, options);
    await turn();
    conn.close();
    assertEquals((await failure(conn.opened)).name, "AbortError");
    await conn.closed;
    // The stream is closed, too.
    await gone(near);
  }
  const controller = new AbortController();
  const [near, far] = await tcpPair();
  const conn = ctx.adopt(far, { role: "client", url: "ws://x/", signal: controller.signal });
  controller.abort();
  assertEquals((await failure(conn.opened)).name, "AbortError");
  near.close();
});

Deno.test("a stream that ends the connection while the 101 is written gets nothing after it", async () => {
  await using ctx = new Context();
  const written: string[] = [];
  const [near, far] = duplexPair((chunk) => {
    written.push(new TextDecoder().decode(chunk).slice(0, 12));
    conn.terminate();
  });
  const conn = ctx.adopt(near, { initialData: latin1(REQUEST) });
  assertEquals((await failure(conn.opened)).name, "AbortError");
  await conn.closed;
  await until(() => near.destroyed);
  assertEquals(written, ["HTTP/1.1 101"]);
  far.destroy();
});

Deno.test("shutdown answers handshakes on adopted streams with 503", async () => {
  const ctx = new Context();
  const [near, far] = await tcpPair();
  const conn = ctx.adopt(far);
  await turn();
  const shutdown = ctx.shutdown();
  assertEquals(new TextDecoder().decode(await readExactly(near, 12)), "HTTP/1.1 503");
  near.close();
  await shutdown;
  await conn.closed;
  assertThrows(() => ctx.adopt(far), Error, "Cannot adopt on a context that was shut down");
});

Deno.test("invalid sources throw, and aren't changed", async () => {
  await using ctx = new Context();
  const [near, far] = await tcpPair();
  const bad = (source: unknown, options: unknown, message: string) =>
    assertThrows(() => ctx.adopt(source as AdoptSource, options as AdoptOptions), Error, message);
  for (const source of [null, 1, "x", {}, { readable: 1, writable: 2 }]) {
    bad(source, {}, "use a Deno.Conn, a Node socket or { readable, writable }");
  }
  bad(far, { role: "peer" }, 'role "peer"');
  bad(far, { role: "client" }, "without url");
  bad(far, { role: "client", url: "http//x" }, "not a valid URL");
  bad(far, { maxMessageSize: -1 }, "maxMessageSize");
  bad(far, { protocols: ["a b"] }, "a b");
  bad(far, { initialData: "text" }, "initialData");
  bad(far, { onMessage: 1 }, "onMessage");
  bad(far, { request: {} }, "request {} (an object): use a Request, or one of node:http");
  const reader = near.readable.getReader();
  bad(near, {}, "locked");
  reader.releaseLock();
  await writeAll(far, "still yours");
  assertEquals(new TextDecoder().decode(await readExactly(near, 11)), "still yours");
  near.close();
  far.close();
  bad(far, {}, "Bad resource ID");
  const stream = new PassThrough();
  stream.destroy();
  bad(stream, {}, "has been closed");
  assertEquals(ctx.connections.size, 0);
});

Deno.test("an adopted socket that its peer closes ends with the cause", async () => {
  await using ctx = new Context();
  const [near, far] = await tcpPair();
  const conn = ctx.adopt(far, { handshake: false });
  near.close();
  const record = await conn.closed;
  assertEquals(record.code, 1006);
  assertInstanceOf(record.cause, Error);
  assert(ctx.connections.size === 0);
});
