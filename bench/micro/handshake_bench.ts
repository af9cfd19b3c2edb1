import { acceptKey } from "../../src/handshake/accept_key.ts";
import { ClientHandshake } from "../../src/handshake/client_handshake.ts";
import { HeadParser } from "../../src/handshake/head_parser.ts";
import { parseRequestHead } from "../../src/handshake/request_head.ts";
import { readUpgrade } from "../../src/handshake/server_handshake.ts";
import { formatAccept } from "../../src/handshake/server_response.ts";
import { parseUrl } from "../../src/handshake/url.ts";

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

/** What a browser sends, some 500 bytes, at the beginning of a read buffer. */
const REQUEST = [
  "GET /chat?room=1 HTTP/1.1",
  "Host: server.example.com",
  "Connection: Upgrade",
  "Pragma: no-cache",
  "Cache-Control: no-cache",
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0",
  "Upgrade: websocket",
  "Origin: https://www.example.com",
  "Sec-WebSocket-Version: 13",
  "Accept-Encoding: gzip, deflate, br, zstd",
  "Accept-Language: en-GB,en;q=0.9",
  `Sec-WebSocket-Key: ${KEY}`,
  "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
  "Sec-WebSocket-Protocol: chat, superchat",
  "",
  "",
].join("\r\n");
const read = new TextEncoder().encode(REQUEST);
const small = new TextEncoder().encode(
  `GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
);

const target = parseUrl("wss://server.example.com/chat");
const response = formatAccept({ key: KEY, protocol: "chat" });
const offer = { protocols: ["chat", "superchat"], key: KEY };

function serve(bytes: Uint8Array): Uint8Array {
  const parser = new HeadParser(16384);
  parser.push(bytes);
  const { key, protocols } = readUpgrade(parseRequestHead(parser.text));
  return formatAccept({ key, protocol: protocols[0] });
}

Deno.bench("server handshake, browser's request", { group: "server" }, () => {
  serve(read);
});

Deno.bench("server handshake, smallest request", { group: "server" }, () => {
  serve(small);
});

Deno.bench("server handshake, byte by byte", { group: "server" }, () => {
  const parser = new HeadParser(16384);
  for (let at = 0; at < read.length; at++) parser.push(read.subarray(at, at + 1));
  const { key, protocols } = readUpgrade(parseRequestHead(parser.text));
  formatAccept({ key, protocol: protocols[0] });
});

Deno.bench("head to text", { group: "server parts" }, () => {
  new HeadParser(16384).push(read);
});

Deno.bench("text to fields", { group: "server parts" }, () => {
  parseRequestHead(REQUEST);
});

const head = parseRequestHead(REQUEST);
Deno.bench("check of the request", { group: "server parts" }, () => {
  readUpgrade(head);
});

Deno.bench("answer to the key", { group: "server parts" }, () => {
  acceptKey(KEY);
});

Deno.bench("101", { group: "server parts" }, () => {
  formatAccept({ key: KEY, protocol: "chat" });
});

Deno.bench("client handshake", { group: "client" }, () => {
  const handshake = new ClientHandshake(target, offer);
  handshake.push(response);
  handshake.finish();
});

Deno.bench("request, with a random key", { group: "client" }, () => {
  new ClientHandshake(target);
});

Deno.bench("reading of a url", { group: "client" }, () => {
  parseUrl("wss://server.example.com/chat");
});
