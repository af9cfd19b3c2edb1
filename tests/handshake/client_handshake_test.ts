import { assert, assertEquals, assertThrows } from "@std/assert";
import { HandshakeError } from "../../src/errors.ts";
import { ClientHandshake, type ClientOffer } from "../../src/handshake/client_handshake.ts";
import { RefusalBody } from "../../src/handshake/refusal_body.ts";
import { parseRequestHead } from "../../src/handshake/request_head.ts";
import { parseResponseHead } from "../../src/handshake/response_head.ts";
import { readUpgrade } from "../../src/handshake/server_handshake.ts";
import { parseUrl } from "../../src/handshake/url.ts";
import { bytes, head, INJECTIONS, RESPONSE, text } from "./_bytes.ts";

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const TARGET = parseUrl("ws://server.example.com/chat");

function start(offer: ClientOffer = {}): ClientHandshake {
  return new ClientHandshake(TARGET, { key: KEY, protocols: ["chat", "superchat"], ...offer });
}

function answer(changes: Record<string, string | null>, line = "HTTP/1.1 101 OK"): string {
  const fields: Record<string, string | null> = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Accept": ACCEPT,
    ...changes,
  };
  const lines = Object.entries(fields).filter(([, value]) => value !== null);
  return head(line, ...lines.map(([name, value]) => `${name}: ${value}`));
}

function refusalOf(act: () => unknown): HandshakeError {
  return assertThrows(act, HandshakeError) as HandshakeError;
}

Deno.test("RFC 6455 4.1: the request is exact to the byte", () => {
  const { request } = start({
    extensions: [{ name: "x", params: [["a", true]] }],
    headers: [["Cookie", "a=1"], ["X-Latin", "\xe9"]],
  });
  assertEquals(
    text(request),
    "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n" +
      "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, superchat\r\n" +
      "Sec-WebSocket-Extensions: x; a\r\nCookie: a=1\r\nX-Latin: \xe9\r\n\r\n",
  );
});

Deno.test("RFC 6455 4.1: the server accepts the client's request, and keys differ", () => {
  const read = () => {
    const { request } = new ClientHandshake(parseUrl("wss://[::1]:8443/a b?q=\u00e9"));
    return readUpgrade(parseRequestHead(text(request)));
  };
  const first = read();
  assertEquals([first.path, first.host], ["/a%20b?q=%C3%A9", "[::1]:8443"]);
  assert(first.key !== read().key);
});

Deno.test("RFC 6455 4.1: the example response is accepted, split at every index", () => {
  const whole = bytes(RESPONSE + "\x81\x00");
  for (let cut = 0; cut <= whole.length; cut++) {
    const handshake = start();
    let end = handshake.push(whole.subarray(0, cut));
    if (end === -1) end = cut + handshake.push(whole.subarray(cut));
    assertEquals(text(whole.subarray(end)), "\x81\x00");
    assertEquals(handshake.accepted, true);
    const { protocol, extensions, headers } = handshake.finish();
    assertEquals([protocol, extensions], ["chat", []]);
    assertEquals(headers.get("upgrade"), "websocket");
  }
});

Deno.test("RFC 9110 15.2: interim responses are skipped, split at every index", () => {
  const interim = head("HTTP/1.1 100 Continue") + head("HTTP/1.1 103 Early Hints", "Link: </a>");
  const whole = bytes(interim + RESPONSE + "\x89\x00");
  for (let cut = 0; cut <= whole.length; cut++) {
    const handshake = start();
    let end = handshake.push(whole.subarray(0, cut));
    if (end === -1) end = cut + handshake.push(whole.subarray(cut));
    assertEquals(end, whole.length - 2);
    assertEquals(handshake.finish().protocol, "chat");
  }
});

Deno.test("the number of interim responses is bounded", () => {
  const handshake = start({ maxHeaderBytes: 1000 });
  const interim = bytes(head("HTTP/1.1 102 Processing"));
  const error = refusalOf(() => {
    for (let count = 0; count < 100; count++) assertEquals(handshake.push(interim), -1);
  });
  assertEquals(error.status, 0);
  assert(error.message.includes("1000 bytes"), error.message);
});

Deno.test("RFC 6455 4.1: variants of the response are accepted", () => {
  const handshake = start({ extensions: [{ name: "x", params: [] }, { name: "y", params: [] }] });
  handshake.push(bytes(answer({
    "Upgrade": "WebSocket",
    "Connection": "keep-alive, upgrade",
    "Sec-WebSocket-Extensions": "y; a=1",
    "Set-Cookie": "a=1",
    "set-cookie": "b=2",
  })));
  const { protocol, extensions, headers } = handshake.finish();
  assertEquals([protocol, extensions], ["", [{ name: "y", params: [["a", "1"]] }]]);
  assertEquals(headers.getSetCookie(), ["a=1", "b=2"]);
});

const WRONG: [changes: Record<string, string | null>, says: string][] = [
  [{ "Upgrade": null }, "Upgrade must be"],
  [{ "Upgrade": "h2c" }, '"h2c"'],
  [{ "Connection": null }, "Connection must contain"],
  [{ "Connection": "close" }, '"close"'],
  [{ "Sec-WebSocket-Accept": null }, "Sec-WebSocket-Accept"],
  [{ "Sec-WebSocket-Accept": ACCEPT.toLowerCase() }, "Sec-WebSocket-Accept"],
  [{ "sec-websocket-accept": ACCEPT }, "Sec-WebSocket-Accept"],
  [{ "Sec-WebSocket-Protocol": "other" }, '"other"'],
  [{ "Sec-WebSocket-Protocol": "Chat" }, '"Chat"'],
  [{ "Sec-WebSocket-Protocol": "chat, superchat" }, "wasn't offered"],
  [{ "Sec-WebSocket-Protocol": "" }, "wasn't offered"],
  [{ "Sec-WebSocket-Extensions": "permessage-deflate" }, '"permessage-deflate"'],
  [{ "Sec-WebSocket-Extensions": "a;;" }, "extension list"],
];

for (const [changes, says] of WRONG) {
  Deno.test(`RFC 6455 4.1: a response is refused: ${JSON.stringify(changes)}`, () => {
    const handshake = start();
    handshake.push(bytes(answer({ ...changes, "X": "1" })));
    const error = refusalOf(() => handshake.finish());
    assertEquals([error.status, error.headers.get("x")], [101, "1"]);
    assert(error.message.startsWith("Cannot open ws://server.example.com/chat: "));
    assert(error.message.includes(says), error.message);
  });
}

Deno.test("RFC 6455 4.1: a 101 in HTTP/1.0 is refused", () => {
  const handshake = start();
  handshake.push(bytes(answer({}, "HTTP/1.0 101 OK")));
  assertEquals(refusalOf(() => handshake.finish()).status, 101);
});

Deno.test("a response with another status is an error with status, headers and body", () => {
  const handshake = start();
  const end = handshake.push(bytes(head("HTTP/1.1 404 Not Found", "X: 1") + "gone"));
  assertEquals(handshake.accepted, false);
  assertEquals(end, head("HTTP/1.1 404 Not Found", "X: 1").length);
  const error = handshake.refused(bytes("gone"));
  assertEquals([error.status, error.headers.get("x"), text(error.body)], [404, "1", "gone"]);
  assert(error.message.endsWith("the server answered 404 Not Found"), error.message);
  assertEquals(refusalOf(() => handshake.finish()).status, 404);
});

Deno.test("the error for a redirect names the location, and says that it isn't followed", () => {
  const handshake = start();
  handshake.push(bytes(head("HTTP/1.1 302 Found", "Location: /else")));
  assert(handshake.refused().message.endsWith('302 Found to "/else", which is not followed'));
});

Deno.test("a response that isn't HTTP, or has too large a head, is an error with status 0", () => {
  for (const garbage of ["\x15\x03", "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/2 101\r\n\r\n"]) {
    assertEquals(refusalOf(() => start().push(bytes(garbage))).status, 0);
  }
  const endless = bytes(`HTTP/1.1 101 ${"x".repeat(20_000)}`);
  assertEquals(refusalOf(() => start().push(endless)).status, 0);
});

Deno.test("injections into a request are refused before anything is written", () => {
  for (const bad of INJECTIONS) {
    assertThrows(() => start({ protocols: [bad] }), TypeError, "Cannot");
    assertThrows(() => start({ headers: [["X", bad]] }), TypeError, "Cannot");
    assertThrows(() => start({ headers: [[bad, "x"]] }), TypeError, "Cannot");
    assertThrows(() => start({ extensions: [{ name: bad, params: [] }] }), TypeError, "Cannot");
    assertThrows(() => start({ key: bad }), TypeError, "Cannot");
    const forged = { ...TARGET, path: `/${bad}` };
    assertThrows(() => new ClientHandshake(forged), TypeError, "Cannot");
    assertThrows(() => new ClientHandshake({ ...TARGET, hostHeader: bad }), TypeError, "Cannot");
  }
});

function collect(lines: string[], body: string, piece: number): [string, boolean] {
  const collector = new RefusalBody(parseResponseHead(head(...lines)));
  let done = collector.done;
  for (let at = 0; at < body.length && !done; at += piece) {
    done = collector.push(bytes(body.slice(at, at + piece)));
  }
  return [text(collector.bytes), done];
}

Deno.test("RFC 9112 6.3: the body of a refusal is read with every framing, in any pieces", () => {
  const line = "HTTP/1.1 403 Forbidden";
  const chunked = [line, "Transfer-Encoding: chunked"];
  for (const piece of [1, 2, 3, 5, 1000]) {
    assertEquals(collect([line, "Content-Length: 3"], "abcdef", piece), ["abc", true]);
    assertEquals(collect([line, "Content-Length: 0"], "abc", piece), ["", true]);
    assertEquals(collect([line, "Content-Length: 9"], "abc", piece), ["abc", false]);
    assertEquals(collect([line], "abc", piece), ["abc", false]);
    const body = "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n";
    assertEquals(collect(chunked, body, piece), ["abc0123456789", true]);
    assertEquals(collect(chunked, "3\r\nabcX", piece), ["abc", true]);
    assertEquals(collect(chunked, "zz\r\nabc", piece), ["", true]);
    assertEquals(collect(chunked, `${"f".repeat(13)}\r\nabc`, piece), ["", true]);
  }
  assertEquals(collect(["HTTP/1.1 204 No Content"], "abc", 1), ["", true]);
});

Deno.test("at most 4 KiB of a refusal's body are kept", () => {
  const line = "HTTP/1.1 403 Forbidden";
  for (const piece of [1, 1000, 4095, 4096, 10_000]) {
    const [kept, done] = collect([line], "x".repeat(10_000), piece);
    assertEquals([kept.length, done], [4096, true]);
  }
  assertEquals(collect([line], "x".repeat(4095), 1000)[1], false);
});
