// Opens connections, exchanges one compressed message on each, prints "ready" and keeps them open.
//
//     deflate_once.ts PORT '{"connections":300,"takeover":true,"size":2048}'

import zlib from "node:zlib";
import { feed } from "../feed.mjs";

const { connections, takeover, size } = JSON.parse(Deno.args[1]);
const [message] = feed(size, 1);
const { Z_SYNC_FLUSH } = zlib.constants;
const packed = new Uint8Array(zlib.deflateRawSync(message, { finishFlush: Z_SYNC_FLUSH })).slice(
  0,
  -4,
);
const { length } = packed;
// A key of zeros: the payload stays as it is.
const frame = new Uint8Array([0xc1, 0xfe, length >> 8, length & 255, 0, 0, 0, 0, ...packed]);
const offer = "permessage-deflate; client_max_window_bits" +
  (takeover ? "" : "; server_no_context_takeover; client_no_context_takeover");
const request = new TextEncoder().encode(
  "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
    `Sec-WebSocket-Extensions: ${offer}\r\n\r\n`,
);
const conns: Deno.TcpConn[] = [];
for (let i = 0; i < connections; i++) {
  const conn = await Deno.connect({ port: Number(Deno.args[0]), hostname: "127.0.0.1" });
  conns.push(conn);
  const buffer = new Uint8Array(8192);
  await conn.write(request);
  await conn.read(buffer);
  await conn.write(frame);
  // The start of the echo shows that both codecs have been at work.
  await conn.read(buffer);
}
console.log("ready");
setInterval(() => conns.length, 60_000);
