// The `ws` package on Node, from the harness' cache of peer packages.

import { createServer as createPlain } from "node:http";
import { createServer as createTls } from "node:https";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";

const { WebSocket, WebSocketServer } = createRequire(
  join(process.env.BENCH_MODULES, "package.json"),
)("ws");
const options = { perMessageDeflate: false, maxPayload: 64 * 1024 * 1024 };

/** Echoes every message, or sends it to every client as often as its first byte says. */
export function serve({ broadcast, tls }) {
  const server = tls ? createTls(tls) : createPlain();
  const sockets = new WebSocketServer({ server, ...options });
  sockets.on("connection", (socket) => {
    socket.on("error", () => {});
    socket.on("message", (data, binary) => {
      if (!broadcast) return socket.send(data, { binary });
      for (let i = 0; i < data[0]; i++) {
        for (const client of sockets.clients) client.send(data);
      }
    });
  });
  return new Promise((resolve) => {
    // Node's default backlog, 511, is what Deno's listeners have as well.
    server.listen(0, "127.0.0.1", () => resolve(server.address().port));
  });
}

/** A client that sends and receives binary messages. */
export function connect(url, _size, onMessage) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, options);
    socket.on("open", () => resolve((payload) => socket.send(payload)));
    socket.on("error", reject);
    socket.on("message", (data) => onMessage(data.length));
  });
}
