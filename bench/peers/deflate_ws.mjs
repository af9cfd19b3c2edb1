// An echo server of `ws` with compression: deflate_ws.mjs '{"takeover":true,"level":6}'

import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";

const { WebSocketServer } = createRequire(join(process.env.BENCH_MODULES, "package.json"))("ws");
const { takeover, level } = JSON.parse(process.argv[2]);
const server = new WebSocketServer({
  port: 0,
  host: "127.0.0.1",
  maxPayload: 64 << 20,
  perMessageDeflate: {
    threshold: 0,
    serverNoContextTakeover: !takeover,
    clientNoContextTakeover: !takeover,
    zlibDeflateOptions: { level, memLevel: 8 },
  },
});
server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data, binary) => socket.send(data, { binary }));
});
server.on("listening", () => {
  console.log(`listening on ws://127.0.0.1:${server.address().port}/`);
});
