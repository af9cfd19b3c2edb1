import { assert, assertEquals, assertThrows } from "@std/assert";
import { createHash } from "node:crypto";
import { acceptKey, createKey, isValidKey } from "../../src/handshake/accept_key.ts";
import { HeadParser } from "../../src/handshake/head_parser.ts";
import { parseRequestHead, type RequestHead } from "../../src/handshake/request_head.ts";
import { parseResponseHead } from "../../src/handshake/response_head.ts";
import { Refusal } from "../../src/handshake/refusal.ts";
import { isUpgradeRequest, readUpgrade } from "../../src/handshake/server_handshake.ts";
import { formatAccept, formatRefusal } from "../../src/handshake/server_response.ts";
import { bytes, head, INJECTIONS, REQUEST, text } from "./_bytes.ts";

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

/** The example request with lines replaced, added, or (by `null`) removed. */
function request(
  changes: Record<string, string | null> = {},
  line = "GET / HTTP/1.1",
): RequestHead {
  const fields: Record<string, string | null> = {
    "Host": "h",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
    ...changes,
  };
  const lines = Object.entries(fields).filter(([, value]) => value !== null);
  return parseRequestHead(head(line, ...lines.map(([name, value]) => `${name}: ${value}`)));
}

function refusal(of: RequestHead): Refusal {
  return assertThrows(() => readUpgrade(of), Refusal) as Refusal;
}

Deno.test("RFC 6455 1.3: the example key gives the example answer", () => {
  assertEquals(acceptKey(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
});

Deno.test("RFC 6455 4.2.2: acceptKey agrees with the platform's SHA-1", () => {
  for (let round = 0; round < 500; round++) {
    const key = createKey();
    assert(isValidKey(key), key);
    const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    assertEquals(acceptKey(key), createHash("sha1").update(key + guid).digest("base64"));
  }
  assertThrows(() => acceptKey("short"), RangeError, "24");
});

Deno.test("RFC 6455 4.2.1: a key is base64 of 16 bytes", () => {
  assert(isValidKey("AAAAAAAAAAAAAAAAAAAAAA=="));
  assert(isValidKey("+/+/+/+/+/+/+/+/+/+/+w=="));
  assert(isValidKey("AAAAAAAAAAAAAAAAAAAAAB==")); // surplus bits, which are ignored
  for (
    const key of [
      "",
      "AAAA",
      "AAAAAAAAAAAAAAAAAAAAAAA=", // 17 bytes
      "AAAAAAAAAAAAAAAAAAAAAAAA", // 18 bytes
      "AAAAAAAAAAAAAAAAAAAAA===", // 15 bytes and too much padding
      "AAAAAAAAAAAAAAAAAAAA-A==", // base64url
      "AAAAAAAAAAAAAAAAAAAA AA=",
      "AAAAAAAAAAAAAAAAAAAAA\u0141==", // whose low byte is A
      `${KEY}, ${KEY}`,
    ]
  ) assert(!isValidKey(key), key);
});

Deno.test("RFC 6455 4.2.1: the example request is accepted", () => {
  assertEquals(readUpgrade(parseRequestHead(REQUEST)), {
    key: KEY,
    protocols: ["chat", "superchat"],
    extensions: [],
    origin: "http://example.com",
    path: "/chat",
    host: "server.example.com",
  });
});

Deno.test("RFC 6455 4.2.1: variants of the request are accepted", () => {
  for (
    const changes of [
      { "Upgrade": "h2c, WebSocket" },
      { "Connection": "keep-alive , uPGRADE" },
      { "Content-Length": "0" },
      { "Origin": "null" },
      { "Sec-WebSocket-Extensions": "" },
    ] as Record<string, string>[]
  ) assertEquals(readUpgrade(request(changes)).key, KEY);
  assertEquals(readUpgrade(request({}, "GET / HTTP/1.2")).key, KEY);
  assertEquals(readUpgrade(request({}, "GET ws://other/x?y HTTP/1.1")).path, "/x?y");
  const several = head(
    ...REQUEST.split("\r\n").slice(0, -2),
    "Sec-WebSocket-Extensions: a;b",
    "sec-websocket-extensions: c",
  );
  assertEquals(readUpgrade(parseRequestHead(several)).extensions, [
    { name: "a", params: [["b", true]] },
    { name: "c", params: [] },
  ]);
});

const REFUSALS: [name: string, changes: Record<string, string | null>, status: number][] = [
  ["no Upgrade", { "Upgrade": null }, 426],
  ["another Upgrade", { "Upgrade": "websockets" }, 426],
  ["no Connection", { "Connection": null }, 426],
  ["Connection without Upgrade", { "Connection": "keep-alive" }, 426],
  ["no version", { "Sec-WebSocket-Version": null }, 426],
  ["version 8", { "Sec-WebSocket-Version": "8" }, 426],
  ["two versions", { "Sec-WebSocket-Version": "13, 8" }, 426],
  ["no Host", { "Host": null }, 400],
  ["empty Host", { "Host": "" }, 400],
  ["no key", { "Sec-WebSocket-Key": null }, 400],
  ["short key", { "Sec-WebSocket-Key": "AAAA" }, 400],
  ["two keys", { "sec-websocket-key": KEY }, 400],
  ["a subprotocol twice", { "Sec-WebSocket-Protocol": "a, a" }, 400],
  ["a subprotocol that isn't a token", { "Sec-WebSocket-Protocol": "a b" }, 400],
  ["malformed extensions", { "Sec-WebSocket-Extensions": "a;;" }, 400],
  ["a body", { "Content-Length": "1" }, 400],
  ["a chunked body", { "Transfer-Encoding": "chunked" }, 400],
  ["two origins", { "Origin": "http://a", "origin": "http://b" }, 400],
];

for (const [name, changes, status] of REFUSALS) {
  Deno.test(`RFC 6455 4.2.1: ${name} is refused with ${status}`, () => {
    const { status: got, headers } = refusal(request(changes));
    assertEquals(got, status);
    const upgrade = headers.find(([name]) => name === "Upgrade");
    assertEquals(upgrade?.[1], status === 426 ? "websocket" : undefined);
  });
}

Deno.test("RFC 6455 4.2.2: the refusal of another version names version 13", () => {
  const { headers } = refusal(request({ "Sec-WebSocket-Version": "25" }));
  assertEquals(headers[0], ["Sec-WebSocket-Version", "13"]);
});

Deno.test("RFC 6455 4.2.1: only GET with at least HTTP/1.1 is accepted", () => {
  const post = refusal(request({}, "POST / HTTP/1.1"));
  assertEquals([post.status, post.headers], [405, [["Allow", "GET"]]]);
  assertEquals(refusal(request({}, "get / HTTP/1.1")).status, 405);
  // RFC 9110 7.8: an Upgrade in HTTP/1.0 must be ignored.
  const old = request({}, "GET / HTTP/1.0");
  assertEquals(isUpgradeRequest(old), false);
  assertEquals(refusal(old).status, 426);
});

Deno.test("isUpgradeRequest detects the intention, and doesn't validate the request", () => {
  assert(isUpgradeRequest(request({ "Sec-WebSocket-Key": null })));
  assert(isUpgradeRequest(request({}, "POST / HTTP/1.1")));
  assert(!isUpgradeRequest(request({ "Upgrade": "h2c" })));
  assert(!isUpgradeRequest(request({ "Connection": "close" })));
});

Deno.test("RFC 6455 4.2.2: the 101 is exact to the byte", () => {
  assertEquals(
    text(formatAccept({ key: KEY })),
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
  );
  const full = formatAccept({
    key: KEY,
    protocol: "chat",
    extensions: [{ name: "x", params: [["a", true], ["b", "1"]] }],
    headers: [["Set-Cookie", "a=1"], ["Set-Cookie", "b=\xe9"]],
  });
  assert(
    text(full).endsWith(
      "\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: x; a; b=1\r\n" +
        "Set-Cookie: a=1\r\nSet-Cookie: b=\xe9\r\n\r\n",
    ),
  );
});

Deno.test("injections into a 101 or a refusal are refused before anything is written", () => {
  for (const bad of INJECTIONS) {
    assertThrows(() => formatAccept({ key: KEY, protocol: bad }), TypeError, "Cannot");
    assertThrows(() => formatAccept({ key: KEY, headers: [["X", bad]] }), TypeError, "Cannot");
    assertThrows(() => formatAccept({ key: KEY, headers: [[bad, "x"]] }), TypeError, "Cannot");
    const extensions = [{ name: bad, params: [] }];
    assertThrows(() => formatAccept({ key: KEY, extensions }), TypeError, "Cannot");
    assertThrows(() => formatRefusal(403, [["X", bad]]), TypeError, "Cannot");
    assertThrows(() => formatRefusal(403, [[bad, "x"]]), TypeError, "Cannot");
    assertThrows(() => formatRefusal(403, [["Connection", `${bad}, close`]]), TypeError, "Cannot");
  }
});

Deno.test("RFC 9112: a refusal has Content-Length and Connection: close", () => {
  assertEquals(
    text(formatRefusal(403, [["X-Why", "no"]], "n\u00f6")),
    "HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nConnection: close\r\n" +
      "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\r\nn\xc3\xb6",
  );
  assertEquals(
    text(formatRefusal(500)),
    "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
  );
  const own = formatRefusal(
    401,
    [["content-length", "99"], ["Transfer-Encoding", "chunked"], ["connection", "keep-alive"], [
      "content-type",
      "a/b",
    ]],
    Uint8Array.of(0xff, 0),
  );
  assertEquals(
    text(own),
    "HTTP/1.1 401 Unauthorized\r\ncontent-type: a/b\r\nConnection: close\r\nContent-Length: 2\r\n\r\n\xff\0",
  );
  assertEquals(
    text(formatRefusal(204, [], "x")),
    "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
  );
  assert(text(formatRefusal(404, [], "body", true)).endsWith("Content-Length: 4\r\n\r\n"));
  assertEquals(parseResponseHead(text(formatRefusal(599))).reason, "");
  for (const status of [101, 199, 600, 0, NaN, 403.5]) {
    assertThrows(() => formatRefusal(status), RangeError, "Cannot refuse");
  }
});

Deno.test("RFC 9110 15.5.22: a 426 names the protocol and closes", () => {
  const { status, headers, message } = refusal(request({ "Upgrade": null }));
  const { fields } = parseResponseHead(text(formatRefusal(status, headers)));
  assertEquals(fields.get("upgrade"), "websocket");
  assertEquals(fields.get("connection"), "close, Upgrade");
  assert(message.length > 0);
});

Deno.test("a handshake whose request is split at any index keeps the first frame", () => {
  const whole = bytes(REQUEST + "\x81\x80\0\0\0\0");
  for (let cut = 1; cut < whole.length; cut++) {
    const parser = new HeadParser(16384);
    let end = parser.push(whole.subarray(0, cut));
    if (end === -1) end = cut + parser.push(whole.subarray(cut));
    assertEquals(text(whole.subarray(end)), "\x81\x80\0\0\0\0");
    assertEquals(readUpgrade(parseRequestHead(parser.text)).path, "/chat");
  }
});
