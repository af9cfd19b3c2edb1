import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  checkFieldName,
  checkFieldValue,
  checkHeaders,
} from "../../src/handshake/headers_option.ts";
import { checkOriginRule, originAllowed } from "../../src/handshake/origin.ts";
import { parseUrl } from "../../src/handshake/url.ts";
import { INJECTIONS } from "./_bytes.ts";

// deno-lint-ignore no-explicit-any
type Any = any;

Deno.test("RFC 6455 3: valid URLs are accepted", () => {
  assertEquals(parseUrl("ws://example.com"), {
    secure: false,
    hostname: "example.com",
    port: 80,
    hostHeader: "example.com",
    path: "/",
    href: "ws://example.com/",
  });
  assertEquals(parseUrl(new URL("https://[::1]:8443/a?b=c")), {
    secure: true,
    hostname: "::1",
    port: 8443,
    hostHeader: "[::1]:8443",
    path: "/a?b=c",
    href: "wss://[::1]:8443/a?b=c",
  });
  assertEquals(parseUrl("http://h:80/").href, "ws://h/");
  assertEquals(parseUrl("wss://h:443").hostHeader, "h");
  assertEquals(parseUrl("wss://h:80").hostHeader, "h:80");
  assertEquals(parseUrl("wss://h").port, 443);
  assertEquals(parseUrl("WS://EXAMPLE.com/%41?x=%23#".slice(0, -1)).path, "/%41?x=%23");
});

Deno.test("RFC 6455 3: invalid URLs are refused, with the received value in the message", () => {
  const refused: [url: unknown, says: string][] = [
    ["", "not a valid URL"],
    ["/path", '"/path"'],
    ["ws://", "not a valid URL"],
    ["ws://h:99999/", "not a valid URL"],
    ["ftp://h/", "scheme"],
    ["wsx://h/", "scheme"],
    ["ws://h/#a", "fragment"],
    ["ws://h/#", "fragment"],
    ["ws://h:0/", "port 0"],
    [1, "to 1: use a string or a URL"],
    [null, "null"],
    [undefined, "undefined"],
    [{}, "{} (an object)"],
  ];
  for (const [url, says] of refused) {
    const error = assertThrows(() => parseUrl(url as Any), TypeError) as TypeError;
    assert(error.message.startsWith("Cannot connect to "), error.message);
    assert(error.message.includes(says), error.message);
  }
});

Deno.test("RFC 3986 3.2.1: the error for user info names the option headers, and doesn't repeat it", () => {
  const urls = ["ws://u:secret@h/", "ws:u:secret@h", "http:\\\\u:secret@h", "ws://:secret@h:0/"];
  for (const url of [...urls, "ws://u:secret@h:99999/", " ws://u:secret@h/"]) {
    const { message } = assertThrows(() => parseUrl(url), TypeError) as TypeError;
    assert(!message.includes("secret"), message);
    if (!url.includes("99999")) assert(message.includes("option headers"), message);
  }
});

Deno.test("RFC 9110 5: names and values of fields are checked", () => {
  assertEquals(checkFieldName("X-Y_z!"), "X-Y_z!");
  assertEquals(checkFieldValue("X", "a\tb \xff"), "a\tb \xff");
  for (const name of ["", "a b", "a:", "\xe9", ...INJECTIONS]) {
    assertThrows(() => checkFieldName(name), TypeError, "Cannot send a header named");
  }
  for (const value of INJECTIONS) {
    const { message } = assertThrows(() => checkFieldValue("X", value), TypeError) as TypeError;
    assert(message.startsWith('Cannot send the header "X"'), message);
    assert(
      [...message].every((char) => char >= " " && char !== "\x7f"),
      "the message must not contain the injection",
    );
  }
  for (let code = 0; code < 0x20; code++) {
    if (code === 9) continue;
    assertThrows(() => checkFieldValue("X", String.fromCharCode(code)), TypeError, "U+00");
  }
});

Deno.test("headers are accepted in every form", () => {
  assertEquals(checkHeaders(undefined, "client"), []);
  assertEquals(checkHeaders({ "X": " a\t", "Set-Cookie": ["a=1", "b=2"] }, "server"), [
    ["X", "a"],
    ["Set-Cookie", "a=1"],
    ["Set-Cookie", "b=2"],
  ]);
  assertEquals(checkHeaders([["A", "1"], ["A", "\xa02"]], "client"), [["A", "1"], ["A", "\xa02"]]);
  const headers = new Headers({ "B": "2" });
  headers.append("Set-Cookie", "a=1");
  headers.append("Set-Cookie", "b=2");
  assertEquals(checkHeaders(headers, "server"), [
    ["b", "2"],
    ["set-cookie", "a=1"],
    ["set-cookie", "b=2"],
  ]);
});

Deno.test("invalid headers are refused", () => {
  for (const bad of [null, 1, "a: b", true, [["a"]], ["ab"], [1]]) {
    assertThrows(() => checkHeaders(bad as Any, "client"), TypeError, "Cannot use");
  }
  for (const bad of [{ a: 1 }, { a: undefined }, { a: [1] }, { a: null }]) {
    assertThrows(() => checkHeaders(bad as Any, "client"), TypeError, "not a string");
  }
  for (const bad of INJECTIONS) {
    assertThrows(() => checkHeaders({ [bad]: "x" }, "client"), TypeError, "Cannot send");
    assertThrows(() => checkHeaders({ x: ["ok", bad] }, "server"), TypeError, "Cannot send");
    assertThrows(() => checkHeaders([["x", bad]], null), TypeError, "Cannot send");
  }
});

Deno.test("the error for a field of the handshake names the right option", () => {
  const own = [
    "connection",
    "upgrade",
    "host",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-accept",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "content-length",
    "transfer-encoding",
  ];
  for (const name of [...own, ...own.map((name) => name.toUpperCase())]) {
    for (const role of ["client", "server"] as const) {
      assertThrows(() => checkHeaders({ [name]: "x" }, role), TypeError, "Cannot set the header");
    }
    assertEquals(checkHeaders({ [name]: "x" }, null), [[name, "x"]]);
  }
  const protocol = () => checkHeaders({ "Sec-WebSocket-Protocol": "a" }, "client");
  assertThrows(protocol, TypeError, "use the option protocols");
  // Members of Object.prototype aren't fields of the handshake.
  assertEquals(checkHeaders([["constructor", "x"]], "client"), [["constructor", "x"]]);
});

Deno.test("RFC 6455 10.2: origins are matched", () => {
  const list = checkOriginRule(["https://a.example", /^https:\/\/[a-z]+\.b\.example$/]);
  assert(originAllowed(list, null));
  assert(originAllowed(list, "https://a.example"));
  assert(originAllowed(list, "https://x.b.example"));
  for (
    const origin of [
      "null",
      "",
      "http://a.example",
      "https://a.example:444",
      "https://a.example.evil",
      "https://evil/https://a.example",
    ]
  ) assert(!originAllowed(list, origin), origin);
  assert(!originAllowed([], "https://a.example"));
  assert(originAllowed(checkOriginRule(["null"]), "null"));
  assert(!originAllowed(/./, "null"));
  assert(originAllowed((origin) => origin === "null", "null"));
  assert(!originAllowed(() => 1 as Any, "https://a"));
});

Deno.test("RFC 6455 10.2: a pattern with the flag g matches every time", () => {
  const rule = /example/g;
  for (let round = 0; round < 4; round++) assert(originAllowed(rule, "https://a.example"));
});

Deno.test("the option origins refuses values that no browser sends", () => {
  checkOriginRule(["null", "https://a.example:8443", "chrome-extension://abc"]);
  const bad = ["a.example", "https://a/", "https://A.example", "https://a:443", "https://a/b", "*"];
  for (const entry of [...bad, 1, null]) {
    assertThrows(() => checkOriginRule([entry as Any]), TypeError, "as an origin");
  }
  for (const rule of ["https://a", 1, {}, null]) {
    assertThrows(() => checkOriginRule(rule as Any), TypeError, "as origins");
  }
});
