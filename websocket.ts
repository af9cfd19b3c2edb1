/**
 * The `WebSocket` class of the WHATWG standard on this library's connections, for programs that were written for a
 * browser's or Deno's own.
 *
 * @module
 */
export { WebSocket, type WebSocketOptions } from "./src/websocket/websocket.ts";
