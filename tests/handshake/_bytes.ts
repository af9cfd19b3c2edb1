import { decodeLatin1, writeLatin1 } from "../../src/handshake/latin1.ts";

/** Encodes a head as one byte per character. */
export function bytes(text: string): Uint8Array {
  const into = new Uint8Array(text.length);
  writeLatin1(text, into, 0);
  return into;
}

/** Decodes bytes as one character per byte. */
export function text(from: Uint8Array): string {
  return decodeLatin1(from, 0, from.length);
}

/** Makes a head from lines: each ends with CR LF, and an empty line follows. */
export function head(...lines: string[]): string {
  return [...lines, "", ""].join("\r\n");
}

/** The example request of RFC 6455 1.2. */
export const REQUEST: string = head(
  "GET /chat HTTP/1.1",
  "Host: server.example.com",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Origin: http://example.com",
  "Sec-WebSocket-Protocol: chat, superchat",
  "Sec-WebSocket-Version: 13",
);

/** The example response of RFC 6455 1.2. */
export const RESPONSE: string = head(
  "HTTP/1.1 101 Switching Protocols",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
  "Sec-WebSocket-Protocol: chat",
);

/** Strings with line ends, or with characters that aren't bytes. */
export const INJECTIONS: string[] = [
  "a\r\nX-Injected: 1",
  "a\rb",
  "a\nb",
  "a\0b",
  "a\x7fb",
  "a\x1bb",
  "a\u010ab", // its low byte is a line feed
  "a\u{1f600}b",
];
