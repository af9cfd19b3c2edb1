// Requests and responses of RFC 9110 and RFC 9112, and the cost of heads.
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "@std/assert";
import { Context, HandshakeError, type ListenOptions } from "../../mod.ts";
import { text, utf8 } from "../support/bytes.ts";
import { EventLog } from "../support/event_log.ts";
import {
  acceptOf,
  type Changes,
  fieldOf,
  rawListener,
  RawPeer,
  upgradeRequest,
  upgradeResponse,
  urlOf,
} from "../support/raw_peer.ts";

function server(options: ListenOptions = {}) {
  const ctx = new Context();
  const refused = new EventLog<HandshakeError>();
  const { port } = ctx.listen({
    hostname: "127.0.0.1",
    onHandshakeError: (error) => refused.push(error as HandshakeError),
    ...options,
  });
  return {
    ctx,
    port,
    refused,
    async [Symbol.asyncDispose]() {
      await ctx.shutdown({ timeout: 0 });
    },
  };
}

async function answerTo(port: number, request: Uint8Array | string) {
  using peer = await RawPeer.dial(port);
  await peer.write(request);
  return await peer.response();
}

function fields(count: number): Changes {
  return Object.fromEntries(
    Array.from({ length: count }, (_, at) => [`a${at.toString(36)}`, ""]),
  );
}

Deno.test("fault 1: a head of more than 128 fields is refused with 431", async () => {
  await using on = server({ onHandshake: () => true });
  // Five of them are those of a handshake.
  using taken = await RawPeer.connect(on.port, fields(123));
  assertMatch(taken.head, / 101 /);
  assertEquals((await answerTo(on.port, upgradeRequest(fields(124)))).status, 431);
  assertMatch((await on.refused.next()).message, /more than 128 fields/);
  const same = upgradeRequest({ ab: Array(2600).fill("") });
  assertEquals((await answerTo(on.port, same)).status, 431);
});

Deno.test("fault 1: maxHeaderFields sets the limit, and 0 removes it", async () => {
  await using few = server({ maxHeaderFields: 6 });
  using _six = await RawPeer.connect(few.port, fields(1));
  assertEquals((await answerTo(few.port, upgradeRequest(fields(2)))).status, 431);
  await using any = server({ maxHeaderFields: 0 });
  using _many = await RawPeer.connect(any.port, fields(1000));
});

Deno.test("no listener accepts a head of more than 1,024 fields: the platform's Headers are quadratic", async () => {
  for (const maxHeaderFields of [0, Infinity, 5000]) {
    await using on = server({ maxHeaderFields, maxHeaderBytes: 0, onHandshake: () => true });
    // Five of them are those of a handshake.
    using _most = await RawPeer.connect(on.port, fields(1019));
    assertEquals((await answerTo(on.port, upgradeRequest(fields(1020)))).status, 431);
    assertMatch((await on.refused.next()).message, /more than 1024 fields/);
  }
});

Deno.test("fault 1: the library doesn't iterate over the platform's Headers", async () => {
  const connected = new EventLog<string | undefined>();
  await using on = server({
    maxHeaderFields: 0,
    onHandshake: () => true,
    selectProtocol: ([first]) => first,
    debug: () => {},
    onConnect: (conn) => connected.push(conn.request?.headers.get("host") ?? undefined),
  });
  const time = async (count: number) => {
    const times: number[] = [];
    for (let round = 0; round < 5; round++) {
      const start = performance.now();
      using _peer = await RawPeer.connect(on.port, {
        ...fields(count),
        "Sec-WebSocket-Protocol": "a",
      });
      assertEquals(await connected.next(), "127.0.0.1");
      times.push(performance.now() - start);
    }
    return Math.min(...times);
  };
  await time(100);
  const taken = await time(1000);
  const headers = new Headers(Object.keys(fields(1000)).map((name) => [name, ""]));
  const start = performance.now();
  assertEquals([...headers].length, 1000);
  const listed = performance.now() - start;
  // Filling the platform's `Headers` takes a fraction of the time of iterating over them.
  assert(taken < listed / 2, `1,000 fields took ${taken} ms, to list them takes ${listed} ms`);
});

Deno.test("fault 1: a client accepts at most 128 fields, too", async () => {
  using listener = rawListener();
  await using ctx = new Context();
  for (const [count, isTaken] of [[125, true], [126, false]] as const) {
    const conn = ctx.connect(urlOf(listener), { onError: () => {} });
    const lines = Object.keys(fields(count)).map((name) => `${name}: 1`);
    using _peer = await RawPeer.accept(listener, { lines });
    if (isTaken) await conn.opened;
    else await assertRejects(() => conn.opened, HandshakeError, "more than 128 fields");
  }
});

const NO_CONTENT: [name: string, status: number, request: string, options?: ListenOptions][] = [
  ["ordinary HTTP", 426, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"],
  ["an upgrade", 405, text(upgradeRequest({}, "HEAD / HTTP/1.1"))],
  ["two hosts", 400, "HEAD / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"],
  ["a broken line", 400, "\r\nHEAD / HTTP/1.1\r\nHost: h\r\nA\r\n\r\n"],
  ["a bad byte in the middle of it", 400, "HEAD / HTTP/1.1\r\nHost: h\r\n\0"],
  ["no end in time", 408, "HEAD / HTTP/1.1\r\nHost:", { handshakeTimeout: 30 }],
  ["too large a head", 431, `HEAD / HTTP/1.1\r\nA: ${"a".repeat(999)}`, { maxHeaderBytes: 99 }],
];

for (const [name, status, request, options] of NO_CONTENT) {
  Deno.test(`fault 40: a HEAD with ${name} is answered with ${status} and no content`, async () => {
    await using on = server(options);
    const answer = await answerTo(on.port, request);
    assertEquals([answer.status, answer.body], [status, ""]);
    assert(Number(fieldOf(answer.head, "Content-Length")) > 0);
  });
}

Deno.test("fault 41: a client accepts a folded field of a 101, split at any byte", async () => {
  using listener = rawListener();
  await using ctx = new Context();
  const lines = ["X-Folded: a\r\n b\r\n\t c", "X-Next: d"];
  for (const size of [1, 7, 10_000]) {
    const conn = ctx.connect(urlOf(listener));
    using peer = new RawPeer(await listener.accept(), "server");
    await peer.writeChopped(upgradeResponse(await peer.readHead(), ...lines), size);
    const { headers } = await conn.opened;
    assertEquals([headers.get("x-folded"), headers.get("x-next")], ["a b c", "d"]);
  }
});

Deno.test("fault 41: a client accepts a folded field of a proxy's response", async () => {
  using listener = rawListener();
  using proxy = rawListener();
  await using ctx = new Context();
  const conn = ctx.connect(urlOf(listener), { proxy: `http://127.0.0.1:${proxy.addr.port}` });
  const peer = new RawPeer(await proxy.accept(), "server");
  await peer.readHead();
  await peer.write("HTTP/1.1 200 OK\r\nVia: a\r\n b\r\n\r\n");
  await peer.answer();
  await conn.opened;
  peer.close();
});

Deno.test("fault 41: whitespace after the status line, and a fold in a request, are refused", async () => {
  using listener = rawListener();
  await using ctx = new Context();
  const conn = ctx.connect(urlOf(listener), { onError: () => {} });
  using peer = new RawPeer(await listener.accept(), "server");
  const key = fieldOf(await peer.readHead(), "Sec-WebSocket-Key")!;
  await peer.write(
    "HTTP/1.1 101 Switching Protocols\r\n X: y\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${acceptOf(key)}\r\n\r\n`,
  );
  await assertRejects(() => conn.opened, HandshakeError);
  await using on = server();
  assertEquals((await answerTo(on.port, upgradeRequest({ "X-Folded": "a\r\n b" }))).status, 400);
});

Deno.test("fault 46: Expect: 100-continue is answered with 100 and then 101", async () => {
  await using on = server();
  using peer = await RawPeer.dial(on.port);
  await peer.write(upgradeRequest({ "Expect": "100-continue" }));
  assertEquals(await peer.readHead(), "HTTP/1.1 100 Continue\r\n\r\n");
  await on.ctx.shutdown({ timeout: 0 });
  assertMatch(new TextDecoder("latin1").decode(await peer.rest()), /^HTTP\/1.1 101 /);
});

Deno.test("fault 47: origins of files, sandboxes and embedders can be listed", async () => {
  for (const origin of ["file://", "null", "app://-", "capacitor://localhost", "wails://a.b:1"]) {
    await using on = server({ origins: [origin] });
    using _peer = await RawPeer.connect(on.port, { "Origin": origin });
    assertEquals(
      (await answerTo(on.port, upgradeRequest({ "Origin": "https://a.example" }))).status,
      403,
    );
  }
});

Deno.test("fault 49: the key of the example in RFC 6455 4.1 is accepted", async () => {
  const key = "AQIDBAUGBwgJCgsMDQ4PEC==";
  await using on = server();
  using peer = await RawPeer.connect(on.port, { "Sec-WebSocket-Key": key });
  assertEquals(fieldOf(peer.head, "Sec-WebSocket-Accept"), acceptOf(key));
});

Deno.test("fault 63: a health check is distinguished from an invalid handshake", async () => {
  await using on = server();
  assertEquals((await answerTo(on.port, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")).status, 426);
  const check = await on.refused.next();
  assertInstanceOf(check, HandshakeError);
  assertEquals([check.status, check.isUpgrade], [426, false]);
  await answerTo(on.port, upgradeRequest({ "Sec-WebSocket-Version": "8" }));
  const broken = await on.refused.next();
  assertEquals([broken.status, broken.isUpgrade], [426, true]);
});

Deno.test("fault 43: HTTP/1.1 without a Host is refused with 400, also instead of 426", async () => {
  await using on = server();
  assertEquals((await answerTo(on.port, utf8("GET / HTTP/1.1\r\n\r\n"))).status, 400);
  assertEquals((await answerTo(on.port, utf8("GET / HTTP/1.0\r\n\r\n"))).status, 426);
});
