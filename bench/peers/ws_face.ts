// Our `./ws`, the counterpart of peers/ws_node.mjs, which has the package.

import type { Buffer } from "node:buffer";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "../../ws.ts";

const options = { perMessageDeflate: false, maxPayload: 64 * 1024 * 1024 };

/** Echoes every message. */
export function serve(): Promise<number> {
  const server = createServer();
  const sockets = new WebSocketServer({ server, ...options });
  sockets.on("connection", (socket: WebSocket) => {
    socket.on("error", () => {});
    socket.on("message", (data: Buffer, binary: boolean) => socket.send(data, { binary }));
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}

/** A client that sends and receives binary messages. */
export function connect(
  url: string,
  _size: number,
  onMessage: (length: number) => void,
): Promise<(payload: Uint8Array) => void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, options);
    socket.on("open", () => resolve((payload) => socket.send(payload)));
    socket.on("error", reject);
    socket.on("message", (data: Buffer) => onMessage(data.length));
  });
}
