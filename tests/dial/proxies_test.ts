import { assert, assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { HandshakeError } from "../../src/errors.ts";
import { connectHttpProxy } from "../../src/client/proxy/http_connect.ts";
import { dialProxy } from "../../src/client/proxy/dial_proxy.ts";
import { parseProxyUrl } from "../../src/client/proxy/proxy_url.ts";
import { connectSocks5 } from "../../src/client/proxy/socks5.ts";
import { dialTcp } from "../../src/client/tcp.ts";
import type { Tunnel } from "../../src/client/proxy/tunnel.ts";
import { failure, mayFail, readToEnd } from "../support/failure.ts";
import { readExactly, tcpPair, writeAll } from "../transport/streams.ts";
import { turn } from "../support/until.ts";

const target: Tunnel = { hostname: "example.com", port: 443 };
const login = { ...target, username: "user", password: "påss" };

/** Runs a proxy that expects and answers byte strings. */
async function scripted(
  steps: [expected: string | number[], answer: string | number[]][],
): Promise<[Deno.TcpConn, Promise<void>]> {
  const [near, far] = await tcpPair();
  const play = async () => {
    for (const [expected, answer] of steps) {
      const bytes = toBytes(expected);
      assertEquals(await readExactly(far, bytes.length), bytes);
      await writeAll(far, toBytes(answer));
    }
    far.close();
  };
  return [near, play()];
}

function toBytes(text: string | number[]): Uint8Array {
  return typeof text === "string" ? new TextEncoder().encode(text) : new Uint8Array(text);
}

const ascii = (text: string) => [...new TextEncoder().encode(text)];
const CONNECT = "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n";

Deno.test("an HTTP proxy is asked for the target, and bytes after its response are kept", async () => {
  const [conn, playing] = await scripted([
    [`${CONNECT}\r\n`, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly"],
  ]);
  const tunnel = await connectHttpProxy(conn, target);
  assertEquals(new TextDecoder().decode(await readExactly(tunnel, 5)), "early");
  assertEquals(await tunnel.read(new Uint8Array(1)), null);
  tunnel.close();
  await playing;
});

Deno.test("without bytes after the response, the connection itself is returned", async () => {
  const [conn, playing] = await scripted([[`${CONNECT}\r\n`, "HTTP/1.0 200 \r\n\r\n"]]);
  assertEquals(await connectHttpProxy(conn, target), conn);
  conn.close();
  await playing;
});

Deno.test("interim responses of an HTTP proxy are skipped", async () => {
  const [conn, playing] = await scripted([
    [`${CONNECT}\r\n`, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx"],
  ]);
  const tunnel = await connectHttpProxy(conn, target);
  assertEquals(await readExactly(tunnel, 1), new Uint8Array([0x78]));
  tunnel.close();
  await playing;
});

Deno.test("fault 41: folded fields in a proxy's response are accepted", async () => {
  const [conn, playing] = await scripted([
    [`${CONNECT}\r\n`, "HTTP/1.1 200 OK\r\nVia: 1.1 a,\r\n\t1.1 b\r\n\r\nx"],
  ]);
  const tunnel = await connectHttpProxy(conn, target);
  assertEquals(await readExactly(tunnel, 1), new Uint8Array([0x78]));
  tunnel.close();
  await playing;
});

Deno.test("user and password are sent as Basic credentials in UTF-8, and IPv6 in brackets", async () => {
  const [conn, playing] = await scripted([
    [
      "CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n" +
      "Proxy-Authorization: Basic dXNlcjpww6Vzcw==\r\n\r\n",
      "HTTP/1.1 200 OK\r\n\r\n",
    ],
  ]);
  await connectHttpProxy(conn, { ...login, hostname: "2001:db8::1", port: 80 });
  conn.close();
  await playing;
});

Deno.test("the error of a refusal has the proxy's status, headers and body", async () => {
  const [conn, playing] = await scripted([
    [
      `${CONNECT}\r\n`,
      "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nnope",
    ],
  ]);
  const error = await failure(connectHttpProxy(conn, target)) as HandshakeError;
  assertInstanceOf(error, HandshakeError);
  assertEquals(error.status, 407);
  assertEquals(error.headers.get("proxy-authenticate"), "Basic");
  assertEquals(new TextDecoder().decode(error.body), "nope");
  assertMatch(
    error.message,
    /example\.com:443 through the proxy: it answered 407 .*user and password/,
  );
  await playing;
});

for (
  const [name, answer, reason] of [
    ["garbage", "SSH-2.0-OpenSSH\r\n\r\n", /isn't HTTP/],
    ["binary", "\x16\x03\x01", /isn't HTTP/],
    ["nothing", "", /closed the connection/],
    ["half a head", "HTTP/1.1 200 OK\r\nA: b", /closed the connection/],
    ["an endless head", `HTTP/1.1 200 OK\r\nA: ${"x".repeat(20_000)}`, /larger than 16384/],
    ["a 101", "HTTP/1.1 101 Switching Protocols\r\n\r\n", /answered 101/],
    ["endless interim responses", "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000), /answered 100/],
  ] as [string, string, RegExp][]
) {
  Deno.test(`the error for an HTTP proxy that answers ${name} names the proxy`, async () => {
    const [conn, playing] = await scripted([[`${CONNECT}\r\n`, answer]]);
    const error = await failure(connectHttpProxy(conn, target));
    assertInstanceOf(error, HandshakeError);
    assertMatch(error.message, reason);
    await mayFail(playing, "the client disconnects before the end of the script");
  });
}

Deno.test("a name that isn't a host is never sent to a proxy", async () => {
  for (const hostname of ["a\r\nX: y", "a b", "", "a/b", "a@b", "x".repeat(256), "ä.example"]) {
    for (const connect of [connectHttpProxy, connectSocks5]) {
      const [near, far] = await tcpPair();
      assertInstanceOf(await failure(connect(near, { ...target, hostname })), TypeError);
      assertEquals(await far.read(new Uint8Array(1)), null);
      far.close();
    }
  }
  const [near, far] = await tcpPair();
  assertInstanceOf(await failure(connectHttpProxy(near, { ...target, port: 0 })), TypeError);
  far.close();
});

const REQUEST = [5, 1, 0, 3, 11, ...ascii("example.com"), 1, 187];
const DONE = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

Deno.test("a SOCKS5 proxy resolves the name, and bytes after its response are kept", async () => {
  const [conn, playing] = await scripted([[[5, 1, 0], [5, 0]], [REQUEST, [...DONE, 1, 2, 3]]]);
  const tunnel = await connectSocks5(conn, target);
  assertEquals(await readExactly(tunnel, 3), new Uint8Array([1, 2, 3]));
  tunnel.close();
  await playing;
});

Deno.test("SOCKS5 works with user and password, and with responses that have a name or IPv6", async () => {
  const [conn, playing] = await scripted([
    [[5, 2, 0, 2], [5, 2]],
    [[1, 4, ...ascii("user"), 5, ...ascii("påss")], [1, 0]],
    [REQUEST, [5, 0, 0, 3, 2, 65, 66, 0, 80, 9]],
  ]);
  const tunnel = await connectSocks5(conn, login);
  assertEquals(await readExactly(tunnel, 1), new Uint8Array([9]));
  tunnel.close();
  await playing;
});

for (
  const [hostname, bytes] of [
    ["192.0.2.7", [1, 192, 0, 2, 7]],
    ["2001:db8::1", [4, 0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), 1]],
  ] as [string, number[]][]
) {
  Deno.test(`${hostname} is sent to a SOCKS5 proxy as an address`, async () => {
    const [conn, playing] = await scripted([
      [[5, 1, 0], [5, 0]],
      [[5, 1, 0, ...bytes, 1, 187], [5, 0, 0, 4, ...Array(18).fill(0)]],
    ]);
    (await connectSocks5(conn, { ...target, hostname })).close();
    await playing;
  });
}

for (
  const [name, tunnel, steps, reason] of [
    ["requires authentication", target, [[[5, 1, 0], [5, 255]]], /requires user and password/],
    [
      "selects a method that wasn't offered",
      target,
      [[[5, 1, 0], [5, 2]]],
      /requires user and password/,
    ],
    [
      "supports no authentication",
      login,
      [[[5, 2, 0, 2], [5, 255]]],
      /supports no user and password/,
    ],
    [
      "refuses the credentials",
      login,
      [[[5, 2, 0, 2], [5, 2]], [[1, 4, ...ascii("user"), 5, ...ascii("påss")], [1, 1]]],
      /refused user or password/,
    ],
    ["speaks HTTP", target, [[[5, 1, 0], "HTTP/1.1 400 \r\n\r\n"]], /isn't SOCKS5/],
    ["leaves", target, [[[5, 1, 0], []]], /closed the connection/],
    ["forbids it", target, [[[5, 1, 0], [5, 0]], [REQUEST, [5, 2, 0, 1]]], /rules .*\(2\)/],
    ["is refused", target, [[[5, 1, 0], [5, 0]], [REQUEST, [5, 5, 0, 1]]], /refused \(5\)/],
    ["answers 99", target, [[[5, 1, 0], [5, 0]], [REQUEST, [5, 99, 0, 1]]], /answered 99/],
    [
      "answers with an unknown address type",
      target,
      [[[5, 1, 0], [5, 0]], [REQUEST, [5, 0, 0, 7]]],
      /type 7/,
    ],
    ["leaves half-way", target, [[[5, 1, 0], [5, 0]], [REQUEST, [5, 0, 0, 1, 1]]], /closed/],
  ] as [string, Tunnel, [number[], string | number[]][], RegExp][]
) {
  Deno.test(`the error for a SOCKS5 proxy that ${name} names the proxy`, async () => {
    const [conn, playing] = await scripted(steps);
    const error = await failure(connectSocks5(conn, tunnel));
    assertInstanceOf(error, HandshakeError);
    assertMatch(error.message, reason);
    await mayFail(playing, "the client disconnects before the end of the script");
  });
}

for (const scheme of ["http", "socks5", "https"]) {
  Deno.test(`the signal ends an attempt through a hanging ${scheme} proxy`, async () => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const proxy = parseProxyUrl(`${scheme}://127.0.0.1:${listener.addr.port}`);
    const controller = new AbortController();
    const dialing = failure(dialProxy(proxy, { ...target, signal: controller.signal }));
    const conn = await listener.accept();
    const buffer = new Uint8Array(4096);
    assert(await conn.read(buffer) !== null);
    controller.abort(new Error("enough"));
    assertEquals((await dialing).message, "enough");
    await readToEnd(conn);
    conn.close();
  });
}

Deno.test("dialTcp names the unreachable host in its error, and ends when its signal is aborted", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const conn = await dialTcp({ hostname: "localhost", port: listener.addr.port });
  (await listener.accept()).close();
  conn.close();
  const { port } = listener.addr;
  listener.close();
  const error = await failure(dialTcp({ hostname: "127.0.0.1", port }));
  assertInstanceOf(error, Deno.errors.ConnectionRefused);
  assertMatch(error.message, new RegExp(`^Cannot connect to 127.0.0.1:${port}: `));
  assertMatch(
    (await failure(dialTcp({ hostname: "nowhere.invalid", port: 80 }))).message,
    /^Cannot connect to nowhere.invalid:80: /,
  );
  const controller = new AbortController();
  controller.abort(new Error("no"));
  assertEquals(
    (await failure(dialTcp({ hostname: "::1", port, signal: controller.signal }))).message,
    "no",
  );
  await turn();
});
