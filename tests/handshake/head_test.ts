import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { BadHeadError } from "../../src/handshake/bad_head_error.ts";
import { parseRequestHead } from "../../src/handshake/request_head.ts";
import { parseResponseHead } from "../../src/handshake/response_head.ts";
import { head, REQUEST } from "./_bytes.ts";

function requestStatus(text: string): number {
  return (assertThrows(() => parseRequestHead(text), BadHeadError) as BadHeadError).status;
}

Deno.test("RFC 6455 1.2: the example request is parsed", () => {
  const request = parseRequestHead(REQUEST);
  assertEquals([request.method, request.target, request.version], ["GET", "/chat", "1.1"]);
  assertEquals(request.fields.size, 7);
  assertEquals(request.fields.get("upgrade"), "websocket");
  assertEquals(request.fields.get("absent"), null);
  assertEquals(request.host, "server.example.com");
  assertEquals([...request.fields][0], ["Host", "server.example.com"]);
});

Deno.test("RFC 9110 5.3: fields with the same name are combined in order", () => {
  const { fields } = parseRequestHead(head("GET / HTTP/1.1", "A: 1", "b: x", "a: 2", "A:"));
  assertEquals(fields.get("a"), "1, 2, ");
  assertEquals([...fields].filter(([name]) => /^a$/i.test(name)).map(([, value]) => value), [
    "1",
    "2",
    "",
  ]);
  assertEquals(fields.count("a"), 3);
  assertEquals(fields.has("b"), true);
  assertEquals(fields.has("c"), false);
});

Deno.test("RFC 9112 5.1: whitespace around a value is removed", () => {
  const lines = ["GET / HTTP/1.1", "A:x", "B: \t x y\t ", "C:   ", "D: :a: "];
  const { fields } = parseRequestHead(head(...lines));
  assertEquals([...fields], [["A", "x"], ["B", "x y"], ["C", ""], ["D", ":a:"]]);
});

Deno.test("RFC 6265 3: several Set-Cookie fields aren't combined", () => {
  const response = parseResponseHead(
    head("HTTP/1.1 101 OK", "Set-Cookie: a=1", "X: \xe9", "set-cookie: b=2; Path=/"),
  );
  const headers = response.fields.toHeaders();
  assertEquals(headers.getSetCookie(), ["a=1", "b=2; Path=/"]);
  assertEquals(headers.get("x"), "\xe9");
});

Deno.test("RFC 9112 2.2: one empty line before the request is skipped, two are not", () => {
  assertEquals(parseRequestHead("\r\n" + REQUEST).target, "/chat");
  assertEquals(requestStatus("\r\n\r\n" + REQUEST), 400);
});

const BAD_LINES = [
  "",
  "GET",
  "GET /",
  "GET / ",
  "GET  / HTTP/1.1",
  "GET /  HTTP/1.1",
  "GET / HTTP/1.1 ",
  " GET / HTTP/1.1",
  "G(T / HTTP/1.1",
  "GET\t/\tHTTP/1.1",
  "GET / HTTP/1",
  "GET / HTTP/1.10",
  "GET / HTTP/1,1",
  "GET / HTTP/a.1",
  "GET / http/1.1",
  "GET / HTTP/1.1\r",
  "GET /\x01 HTTP/1.1",
  "GET /\x7f HTTP/1.1",
  "GET /\xe9 HTTP/1.1",
  "GET /a#b HTTP/1.1",
  "GET a HTTP/1.1",
  "GET * HTTP/1.1",
  "GET ftp://h/ HTTP/1.1",
  "GET http:///a HTTP/1.1",
  "GET http://u@h/ HTTP/1.1",
  "GET http://h:x/ HTTP/1.1",
  "CONNECT h:80 HTTP/1.1",
];

for (const line of BAD_LINES) {
  Deno.test(`RFC 9112 3: a request line is refused: ${JSON.stringify(line)}`, () => {
    assertEquals(requestStatus(head(line, "Host: h")), 400);
  });
}

Deno.test("RFC 9112 3.2: every form of the target is parsed", () => {
  const read = (line: string): [string, string | null] => {
    const request = parseRequestHead(head(line, "Host: field"));
    return [request.path, request.host];
  };
  assertEquals(read("GET / HTTP/1.1"), ["/", "field"]);
  assertEquals(read("GET /a?b=%20&c='\"<> HTTP/1.1"), ["/a?b=%20&c='\"<>", "field"]);
  assertEquals(read("GET //x/y HTTP/1.1"), ["//x/y", "field"]);
  assertEquals(read("OPTIONS * HTTP/1.1"), ["*", "field"]);
  // RFC 9112 3.2.2: the authority of an absolute target replaces the field.
  assertEquals(read("GET http://h:81/a?b HTTP/1.1"), ["/a?b", "h:81"]);
  assertEquals(read("GET WSS://h HTTP/1.1"), ["/", "h"]);
  assertEquals(read("GET ws://[::1]?q HTTP/1.1"), ["/?q", "[::1]"]);
});

Deno.test("RFC 9112 2.3: supported versions are accepted, others refused", () => {
  assertEquals(parseRequestHead(head("GET / HTTP/1.0")).version, "1.0");
  assertEquals(parseRequestHead(head("GET / HTTP/1.9")).version, "1.9");
  assertEquals(requestStatus(head("GET / HTTP/0.9")), 505);
  assertEquals(requestStatus(head("GET / HTTP/3.0")), 505);
});

Deno.test("RFC 9113 3.4: the preface of HTTP/2 is answered with 505", () => {
  assertEquals(requestStatus("PRI * HTTP/2.0\r\n\r\n"), 505);
});

const BAD_FIELDS = [
  "no colon",
  ": no name",
  "Name : space before the colon",
  "Na me: x",
  "N\xe4me: x",
  " A: folded",
  "\tA: folded",
  "A: bare \n line feed",
  "A: bare \r CR",
  "A: \0",
  "A: \x1f",
  "A: \x7f",
  "A: b\r\n\r\nsmuggled: 1",
];

for (const line of BAD_FIELDS) {
  Deno.test(`RFC 9112 5: a field is refused: ${JSON.stringify(line)}`, () => {
    assertEquals(requestStatus(head("GET / HTTP/1.1", line, "B: c")), 400);
    assertThrows(() => parseResponseHead(head("HTTP/1.1 101 OK", line, "B: c")), BadHeadError);
  });
}

Deno.test("RFC 9112 5.2: a server refuses a folded line, a client replaces the fold with a space", () => {
  for (const fold of ["\r\n ", " \r\n\t", "\r\n  \t \r\n "]) {
    assertEquals(requestStatus(head("GET / HTTP/1.1", `A: b${fold}c`, "B: c")), 400);
    const { fields } = parseResponseHead(head("HTTP/1.1 101 OK", `A: b${fold}c`, "B: c"));
    assertMatch(fields.get("a")!, /^b +c$/);
    assertEquals(fields.get("b"), "c");
  }
});

Deno.test("RFC 9112 5: a head that is cut at any index is refused", () => {
  for (let end = 0; end < REQUEST.length; end++) {
    assertEquals(requestStatus(REQUEST.slice(0, end)), 400);
  }
});

Deno.test("RFC 9112 3.2: more than one Host, and an invalid one, are refused", () => {
  const withHost = (...hosts: string[]): string =>
    head("GET / HTTP/1.1", ...hosts.map((host) => `Host: ${host}`));
  for (const host of ["h", "h:80", "h:", "1.2.3.4:5", "[::1]", "[fe80::1]:80", "a_b.c", ""]) {
    assertEquals(parseRequestHead(withHost(host)).host, host);
  }
  for (const host of ["a b", "a/b", "u@h", "h:1:2", "h:x", "::1", "[::1", "\xe9"]) {
    assertEquals(requestStatus(withHost(host)), 400, host);
  }
  assertEquals(requestStatus(withHost("h", "h")), 400);
});

Deno.test("RFC 9112 6: ambiguous framing is refused", () => {
  const framed = (...lines: string[]): string => head("POST / HTTP/1.1", "Host: h", ...lines);
  parseRequestHead(framed("Content-Length: 5"));
  parseRequestHead(framed("Transfer-Encoding: Chunked"));
  for (const length of ["+5", "-1", "5,5", "0x5", "5 5", "", "1e3", "9".repeat(16)]) {
    assertEquals(requestStatus(framed(`Content-Length: ${length}`)), 400, length);
  }
  assertEquals(requestStatus(framed("Content-Length: 5", "Content-Length: 5")), 400);
  assertEquals(requestStatus(framed("Content-Length: 5", "Transfer-Encoding: chunked")), 400);
  assertEquals(requestStatus(framed("Transfer-Encoding: chunked, identity")), 501);
  assertEquals(
    requestStatus(head("POST / HTTP/1.0", "Transfer-Encoding: chunked")),
    400,
  );
});

Deno.test("RFC 9112 4: status lines are parsed", () => {
  const read = (line: string): [string, number, string] => {
    const { version, status, reason } = parseResponseHead(head(line));
    return [version, status, reason];
  };
  assertEquals(read("HTTP/1.1 101 Switching Protocols"), ["1.1", 101, "Switching Protocols"]);
  assertEquals(read("HTTP/1.0 404 "), ["1.0", 404, ""]);
  assertEquals(read("HTTP/1.1 200"), ["1.1", 200, ""]);
  assertEquals(read("HTTP/1.1 500 \xe9"), ["1.1", 500, "\xe9"]);
  for (
    const line of [
      "",
      "HTTP/2 101",
      "HTTP/2.0 101 X",
      "http/1.1 101 X",
      "HTTP/1.1  101 X",
      "HTTP/1.1 99 X",
      "HTTP/1.1 600 X",
      "HTTP/1.1 1010 X",
      "HTTP/1.1 101 \x01",
      "HTTP/1.1 101 \n",
      "ICY 200 OK",
    ]
  ) {
    assertThrows(() => parseResponseHead(head(line)), BadHeadError, "status line", line);
  }
});
