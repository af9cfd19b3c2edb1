import { assertEquals, assertThrows } from "@std/assert";
import { readProxyHead } from "../../src/handshake/proxy_head.ts";
import { concat, utf8 } from "../support/bytes.ts";
import { v2Head } from "../support/proxy_head.ts";

const IPV4 = [192, 0, 2, 7, 10, 0, 0, 1, 0xc3, 0x50, 0, 80];
const IPV6 = [
  ...[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
  ...[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
  ...[0xff, 0xff, 1, 0xbb],
];

const GOOD: [name: string, head: Uint8Array, source: string | null, port?: number][] = [
  ["TCP4", utf8("PROXY TCP4 192.0.2.7 10.0.0.1 50000 80\r\n"), "192.0.2.7", 50000],
  ["TCP6", utf8("PROXY TCP6 2001:db8::1 2001:db8::2 65535 443\r\n"), "2001:db8::1", 65535],
  ["UNKNOWN", utf8("PROXY UNKNOWN\r\n"), null],
  ["UNKNOWN with any words", utf8("PROXY UNKNOWN ffff::1 x 1 2 3\r\n"), null],
  ["v2 IPv4", v2Head(0x21, 0x11, IPV4), "192.0.2.7", 50000],
  ["v2 IPv6", v2Head(0x21, 0x21, IPV6), "2001:db8::1", 65535],
  [
    "v2 with TLVs",
    v2Head(0x21, 0x11, [...IPV4, 1, 0, 2, 104, 50, 0x20, 0, 1, 7]),
    "192.0.2.7",
    50000,
  ],
  ["v2 LOCAL", v2Head(0x20, 0, []), null],
  ["v2 LOCAL with addresses", v2Head(0x20, 0x11, IPV4), null],
  ["v2 UNSPEC", v2Head(0x21, 0, [1, 2, 3]), null],
  ["v2 Unix", v2Head(0x21, 0x31, Array(216).fill(65)), null],
  ["v2 datagram", v2Head(0x21, 0x12, IPV4), "192.0.2.7", 50000],
];

for (const [name, head, hostname, port] of GOOD) {
  Deno.test(`PROXY head: ${name}, split at every byte`, () => {
    for (let at = 0; at < head.length; at++) {
      assertEquals(readProxyHead(head.slice(0, at)), null, `${at}`);
    }
    const source = hostname === null ? null : { hostname, port };
    for (const behind of ["", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01"]) {
      assertEquals(readProxyHead(concat(head, utf8(behind))), { source, length: head.length });
    }
  });
}

const BROKEN: [name: string, head: Uint8Array, says: string][] = [
  ["an endless line", utf8(`PROXY TCP4 ${"1".repeat(200)}`), "longer than 107"],
  ["a line that ends in LF", utf8("PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n"), "CR LF"],
  ["another family", utf8("PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n"), "family"],
  ["an IPv6 address of TCP4", utf8("PROXY TCP4 ::1 10.0.0.1 1 2\r\n"), "address"],
  ["leading zeros", utf8("PROXY TCP4 192.0.02.7 10.0.0.1 1 2\r\n"), "address"],
  ["a port that is too large", utf8("PROXY TCP4 192.0.2.7 10.0.0.1 65536 2\r\n"), "port"],
  ["a port that isn't a number", utf8("PROXY TCP4 192.0.2.7 10.0.0.1 1 -2\r\n"), "port"],
  ["too few words", utf8("PROXY TCP4 192.0.2.7\r\n"), "address"],
  ["too many words", utf8("PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n"), "six words"],
  ["another version", v2Head(0x11, 0x11, IPV4), "version 1"],
  ["another command", v2Head(0x22, 0x11, IPV4), "command 2"],
  ["another family", v2Head(0x21, 0x41, IPV4), "family"],
  ["too short for its family", v2Head(0x21, 0x11, IPV4.slice(1)), "too few"],
  ["IPv4 announced as IPv6", v2Head(0x21, 0x21, IPV4), "too few"],
  ["too long", v2Head(0x21, 0x11, IPV4, 4097), "too many"],
];

for (const [name, head, says] of BROKEN) {
  Deno.test(`PROXY head with ${name} is refused`, () => {
    assertThrows(() => readProxyHead(head), Error, says);
  });
}

Deno.test("bytes that don't begin a PROXY head are detected at the first wrong byte", () => {
  for (
    const text of [
      "GET / HTTP/1.1",
      "PROXIES",
      "PR0XY ",
      "\x16\x03\x01",
      "\r\nGET",
      "\r\n\r\n\0\r\nQUIX",
    ]
  ) {
    assertEquals(readProxyHead(utf8(text)), undefined, text);
  }
});
