import type { LoadOptions } from "./options.ts";

/** The bytes to send and the bytes to expect, built once. */
export interface Frames {
  /** All masked frames that are in flight at once, in one block. */
  block: Uint8Array<ArrayBuffer>;
  /** Length of one frame sent. */
  sent: number;
  /** The frame that should come back. */
  expected: Uint8Array;
  /** Length of its header. */
  header: number;
}

function headerOf(size: number, text: boolean, masked: boolean): number[] {
  const first = text ? 0x81 : 0x82;
  const mask = masked ? 0x80 : 0;
  if (size < 126) return [first, mask | size];
  if (size < 65536) return [first, mask | 126, size >> 8, size & 255];
  const length = Array.from({ length: 8 }, (_, i) => Number(BigInt(size) >> BigInt(56 - 8 * i)));
  return [first, mask | 127, ...length.map((byte) => byte & 255)];
}

/** Builds the frames for a load. */
export function buildFrames({ size, depth, text, raw, batch }: Required<LoadOptions>): Frames {
  const key = [0x37, 0xfa, 0x21, 0x3d];
  const plain = new Uint8Array(size).map((_, i) => i === 0 ? batch : 97 + i % 26);
  const head = [...headerOf(size, text, true), ...key];
  const frame = new Uint8Array(head.length + size);
  frame.set(head);
  frame.set(plain.map((byte, i) => byte ^ key[i & 3]), head.length);
  const block = new Uint8Array(frame.length * depth);
  for (let i = 0; i < depth; i++) block.set(frame, i * frame.length);
  const answer = headerOf(size, text, false);
  const expected = raw ? frame : new Uint8Array([...answer, ...plain]);
  return { block, sent: frame.length, expected, header: expected.length - size };
}

/** About what a browser sends, so that head buffers get a realistic load. */
export function buildRequest(port: number): Uint8Array {
  const agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) " +
    "Chrome/141.0.0.0 Safari/537.36";
  return new TextEncoder().encode([
    "GET /chat?room=bench HTTP/1.1",
    `Host: 127.0.0.1:${port}`,
    "Connection: Upgrade",
    "Pragma: no-cache",
    "Cache-Control: no-cache",
    `User-Agent: ${agent}`,
    "Upgrade: websocket",
    `Origin: http://127.0.0.1:${port}`,
    "Sec-WebSocket-Version: 13",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-GB,en;q=0.9",
    "Cookie: session=0123456789abcdef0123456789abcdef",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "",
    "",
  ].join("\r\n"));
}
