import { assert, assertEquals, assertThrows } from "@std/assert";
import { BadHeadError } from "../../src/handshake/bad_head_error.ts";
import { HeadParser } from "../../src/handshake/head_parser.ts";
import { bytes, head, REQUEST } from "./_bytes.ts";

function status(act: () => unknown): number {
  const error = assertThrows(act, BadHeadError) as BadHeadError;
  return error.status;
}

Deno.test("RFC 9112 2.1: a head is found in one piece, with the index of the byte after it", () => {
  const parser = new HeadParser(1024);
  assertEquals(parser.push(bytes(REQUEST + "\x81\x85frames")), REQUEST.length);
  assertEquals(parser.text, REQUEST);
  assertEquals(parser.pendingBytes, 0);
});

Deno.test("RFC 9112 2.1: a head is found if it is split at any index", () => {
  const whole = bytes(REQUEST + "\x81\x80");
  for (let cut = 0; cut <= whole.length; cut++) {
    const parser = new HeadParser(1024);
    let end = parser.push(whole.subarray(0, cut));
    assertEquals(end, cut >= REQUEST.length ? REQUEST.length : -1, `cut at ${cut}`);
    if (end === -1) end = cut + parser.push(whole.subarray(cut));
    assertEquals(end, REQUEST.length, `cut at ${cut}`);
    assertEquals(parser.text, REQUEST);
  }
});

Deno.test("RFC 9112 2.1: a head is found if it comes byte by byte in a reused buffer", () => {
  const parser = new HeadParser(1024);
  const one = new Uint8Array(1);
  for (let at = 0; at < REQUEST.length; at++) {
    one[0] = REQUEST.charCodeAt(at);
    assertEquals(parser.push(one), at === REQUEST.length - 1 ? 1 : -1);
  }
  assertEquals(parser.text, REQUEST);
});

Deno.test("a head is found at every offset relative to the search's stride of four", () => {
  for (let length = 0; length < 16; length++) {
    const whole = head(`GET /${"x".repeat(length)} HTTP/1.1`);
    const parser = new HeadParser(1024);
    assertEquals(parser.push(bytes(whole + "\r\n\r\n")), whole.length);
  }
});

Deno.test("the parser can parse another head after the first one", () => {
  const parser = new HeadParser(64);
  const first = head("HTTP/1.1 103 Early Hints", "Link: </a>");
  const second = head("HTTP/1.1 101 Switching Protocols");
  const both = bytes(first + second);
  assertEquals(parser.push(both.subarray(0, 10)), -1);
  assertEquals(parser.push(both.subarray(10)), first.length - 10);
  assertEquals(parser.push(both.subarray(first.length)), second.length);
  assertEquals(parser.text, second);
});

Deno.test("every byte becomes one code unit, also 0x80 to 0x9F", () => {
  let value = "";
  for (let code = 0x80; code <= 0xff; code++) value += String.fromCharCode(code);
  const whole = head("GET / HTTP/1.1", `X: ${value}`);
  const parser = new HeadParser(1024);
  parser.push(bytes(whole));
  assertEquals(parser.text, whole);
});

Deno.test("the text doesn't change when the read buffer is reused", () => {
  const buffer = bytes(REQUEST);
  const parser = new HeadParser(1024);
  parser.push(buffer);
  buffer.fill(0);
  assertEquals(parser.text, REQUEST);
});

Deno.test("a head of exactly the bound is accepted, one byte more isn't", () => {
  for (const piece of [1, 7, REQUEST.length, 4096]) {
    const feed = (maxBytes: number): number => {
      const parser = new HeadParser(maxBytes);
      const whole = bytes(REQUEST + "\x81\x80");
      for (let at = 0; at < whole.length; at += piece) {
        const end = parser.push(whole.subarray(at, at + piece));
        if (end !== -1) return at + end;
      }
      return -1;
    };
    assertEquals(feed(REQUEST.length), REQUEST.length);
    assertEquals(status(() => feed(REQUEST.length - 1)), 431);
  }
});

Deno.test("of an endless head at most the bound is kept", () => {
  const parser = new HeadParser(1000);
  assertEquals(parser.push(bytes("GET /" + "a".repeat(994))), -1);
  assertEquals(parser.pendingBytes, 999);
  assertEquals(status(() => parser.push(bytes("a".repeat(100_000)))), 431);
  assertEquals(parser.pendingBytes, 1000);
  assertEquals(status(() => new HeadParser(1000).push(bytes("G".repeat(65_536)))), 431);
});

Deno.test("a head that comes byte by byte takes linear time", () => {
  const drip = (size: number): number => {
    const parser = new HeadParser(size + 1);
    const one = Uint8Array.of(0x61);
    const start = performance.now();
    for (let at = 0; at < size; at++) parser.push(one);
    return performance.now() - start;
  };
  drip(100_000);
  const quick = Math.max(drip(50_000), 1);
  const slow = drip(800_000);
  // 16 times as many bytes. Searching from the start each time would take 256 times as long.
  assert(slow < quick * 100, `${quick} ms for 50,000 bytes, ${slow} ms for 800,000`);
});

const HOPELESS: [name: string, start: string][] = [
  ["a TLS ClientHello", "\x16"],
  ["a space before the request line", " "],
  ["a bare line feed", "GET / HTTP/1.1\n"],
  ["a bare CR", "GET / HTTP/1.1\rX"],
  ["a NUL", "GET / HTTP/1.1\r\nA: \0"],
  ["a DEL", "GET / HTTP/1.1\r\nA: \x7f"],
  ["an obsolete fold (5.2)", "GET / HTTP/1.1\r\nA: b\r\n "],
  ["a line that begins with a tab", "GET / HTTP/1.1\r\n\t"],
  ["CR CR", "GET / HTTP/1.1\r\r"],
];

for (const [name, start] of HOPELESS) {
  Deno.test(`RFC 9112 2.2: ${name} is refused at the first wrong byte`, () => {
    assertEquals(status(() => new HeadParser(1024).push(bytes(start))), 400);
    const parser = new HeadParser(1024);
    for (let at = 0; at < start.length - 1; at++) {
      assertEquals(parser.push(bytes(start[at])), -1);
    }
    assertEquals(status(() => parser.push(bytes(start[start.length - 1]))), 400);
  });
}
