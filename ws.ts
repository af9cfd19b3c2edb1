/**
 * The API of the npm package `ws` 8 on this library's connections, for programs that were written for that package.
 *
 * @example
 * ```ts
 * import { WebSocket, WebSocketServer } from "@sluice/websocket/ws";
 *
 * const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
 * server.on("connection", (socket) => {
 *   socket.on("message", (data, isBinary) => {
 *     socket.send(data, { binary: isBinary });
 *   });
 * });
 * server.on("listening", () => {
 *   const { port } = server.address() as { port: number };
 *   const client = new WebSocket(`ws://127.0.0.1:${port}`);
 *   client.on("open", () => client.send("hello"));
 *   client.on("message", (data) => {
 *     console.log(String(data));
 *     client.close();
 *     server.close();
 *   });
 * });
 * ```
 *
 * @module
 */
import { createWebSocketStream } from "./src/ws/stream.ts";
import { WebSocket } from "./src/ws/websocket.ts";
import { WebSocketServer } from "./src/ws/websocket_server.ts";

// `require` returns the class with all other exports as its members, like the package.
Object.assign(WebSocket, {
  WebSocket,
  WebSocketServer,
  Server: WebSocketServer,
  createWebSocketStream,
});

export {
  createWebSocketStream,
  WebSocket,
  WebSocket as "module.exports",
  WebSocket as default,
  WebSocketServer,
  WebSocketServer as Server,
};
export type { Callback, SendOptions } from "./src/ws/websocket.ts";
export type { Handler, RawData, WebSocketEvents } from "./src/ws/events.ts";
export type { ClientOptions } from "./src/ws/client_handshake.ts";
export type { PerMessageDeflateOptions, SharedOptions } from "./src/ws/options.ts";
export type { DeflateTerms } from "./src/adopt/outside_handshake.ts";
export type {
  ClientInfo,
  ServerOptions,
  VerifyAnswer,
  VerifyClient,
  WebSocketServerEvents,
} from "./src/ws/websocket_server.ts";
