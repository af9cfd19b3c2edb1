import { BadHeadError } from "../src/handshake/bad_head_error.ts";
import { HeadParser } from "../src/handshake/head_parser.ts";
import { parseRequestHead } from "../src/handshake/request_head.ts";
import { parseResponseHead } from "../src/handshake/response_head.ts";
import { Refusal } from "../src/handshake/refusal.ts";
import { isUpgradeRequest, readUpgrade } from "../src/handshake/server_handshake.ts";
import type { Random } from "./random.ts";
import { finding, same, type Target, toBytes } from "./target.ts";

const MAX = 2048;

const NAMES = [
  "Host",
  "Upgrade",
  "Connection",
  "Sec-WebSocket-Key",
  "Sec-WebSocket-Version",
  "Sec-WebSocket-Protocol",
  "Sec-WebSocket-Extensions",
  "Content-Length",
  "Transfer-Encoding",
  "Origin",
  "Cookie",
  "X",
];
const VALUES = [
  "localhost",
  "[::1]:80",
  "websocket",
  "keep-alive, Upgrade",
  "dGhlIHNhbXBsZSBub25jZQ==",
  "13",
  "chat, superchat",
  'x; a="b"; c, permessage-deflate; client_max_window_bits',
  "0",
  "10",
  "chunked",
  "https://example.com",
  "a=b; c=d",
  "",
  " \t ",
  "\u00e9",
];

/** The outcome of a head: the text and what follows it, or how it failed. */
function read(pieces: Uint8Array[], response: boolean): unknown {
  const parser = new HeadParser(MAX, response);
  let given = 0;
  for (const piece of pieces) {
    given += piece.length;
    let end;
    try {
      end = parser.push(piece);
    } catch (error) {
      if (!(error instanceof BadHeadError)) throw error;
      return ["bad", error.status];
    }
    if (parser.pendingBytes > MAX) finding(`${parser.pendingBytes} bytes are kept`);
    if (end >= 0) {
      const { text } = parser;
      if (given - piece.length + end !== text.length) finding("the head's end is somewhere else");
      return meaning(text, response);
    }
  }
  return ["incomplete"];
}

/** Parses a complete head; only the declared errors may be thrown. */
function meaning(text: string, response: boolean): unknown {
  try {
    if (response) {
      const { status } = parseResponseHead(text);
      return ["response", status];
    }
    const head = parseRequestHead(text);
    if (!isUpgradeRequest(head)) return ["request", head.method, head.path, head.host];
    const { path, host, protocols, extensions } = readUpgrade(head);
    return ["upgrade", path, host, protocols, extensions];
  } catch (error) {
    if (error instanceof BadHeadError || error instanceof Refusal) return ["bad", error.status];
    throw error;
  }
}

export const head: Target = {
  name: "head",
  make(random: Random) {
    const line = random.pick([
      "GET / HTTP/1.1",
      "GET /chat?a=b HTTP/1.1",
      "GET http://a.example/x HTTP/1.1",
      "POST / HTTP/1.0",
      "OPTIONS * HTTP/1.1",
      "HTTP/1.1 101 Switching Protocols",
      "HTTP/1.1 200",
    ]);
    let text = `${line}\r\n`;
    if (random.oneIn(2)) {
      text += "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    }
    for (let i = random.below(8); i > 0; i--) {
      text += `${random.pick(NAMES)}: ${random.pick(VALUES)}\r\n`;
    }
    if (random.oneIn(20)) text += `X: ${"x".repeat(random.below(2 * MAX))}\r\n`;
    const bytes = toBytes(`${text}\r\nBEHIND`);
    return random.oneIn(4) ? bytes : random.mutate(bytes);
  },
  judge(input, random) {
    for (const response of [false, true]) {
      const whole = read([input], response);
      const cuts = [random.split(input), Array.from(input, (byte) => Uint8Array.of(byte))];
      for (const pieces of cuts) {
        const cut = read(pieces, response) as [string];
        // A head that fails in one piece may fail earlier, and with another status, when its beginning arrives alone.
        const bothBad = cut[0] === "bad" && (whole as [string])[0] === "bad";
        if (!bothBad) same(whole, cut, "whole and cut differ");
      }
    }
  },
};
