/**
 * The `WebSocket` class of the WHATWG standard on this library's connections, for programs that were written for browsers or
 * for Deno's own class.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 * import { WebSocket } from "@sluice/websocket/websocket";
 *
 * await using ctx = new Context();
 * const { url } = ctx.listen({ hostname: "127.0.0.1", onMessage: (conn, data) => void conn.send(data) });
 * const socket = new WebSocket(url, { context: ctx });
 * socket.onopen = () => socket.send("hello");
 * const { data } = await new Promise<MessageEvent>((resolve) => socket.onmessage = resolve);
 * console.log(data);
 * ```
 *
 * @module
 */
export { WebSocket, type WebSocketOptions } from "./src/websocket/websocket.ts";
