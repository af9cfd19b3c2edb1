import { nextTick } from "node:process";
import { Duplex, type DuplexOptions } from "node:stream";
import type { WebSocket } from "./websocket.ts";

/**
 * A stream whose `read()` returns everything that is buffered, as the documentation of `node:stream` says. In later
 * versions of Node it returns one chunk, and a consumer that reads once per `readable` event misses the others.
 */
class SocketStream extends Duplex {
  override read(size?: number | null): unknown {
    const all = (size === undefined || size === null) && !this.readableObjectMode &&
      !this.readableFlowing && this.readableLength > 0;
    return super.read(all ? this.readableLength : size ?? undefined);
  }
}

/**
 * Makes a `Duplex` of `node:stream` from a socket, with backpressure in both directions. The end of the stream closes the
 * socket.
 *
 * @param socket The socket.
 * @param options Options of the stream.
 * @returns The stream.
 *
 * @example
 * ```ts
 * import { createWebSocketStream, WebSocket, WebSocketServer } from "@sluice/websocket/ws";
 *
 * const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
 * server.on("connection", (socket) => {
 *   const stream = createWebSocketStream(socket);
 *   stream.pipe(stream); // an echo, with backpressure
 * });
 * server.on("listening", () => {
 *   const { port } = server.address() as { port: number };
 *   const stream = createWebSocketStream(new WebSocket(`ws://127.0.0.1:${port}`));
 *   stream.write("hello");
 *   stream.once("data", (data: Uint8Array) => {
 *     console.log(String(data));
 *     stream.end();
 *     server.close();
 *   });
 * });
 * ```
 */
export function createWebSocketStream(socket: WebSocket, options: DuplexOptions = {}): Duplex {
  let terminate = true;
  // Called when the socket has closed, before the end of what it receives.
  let finished: (() => void) | null = null;
  const whenOpen = (work: () => void) => {
    if (socket.readyState === socket.CONNECTING) socket.once("open", work);
    else work();
  };
  const duplex = new SocketStream({
    ...options,
    emitClose: false,
    objectMode: false,
    writableObjectMode: false,
    read: () => {
      if (socket.isPaused) socket.resume();
    },
    write: (chunk, _encoding, done) => whenOpen(() => socket.send(chunk, done)),
    final: (done) =>
      whenOpen(() => {
        if (socket.readyState === socket.CLOSED) return done();
        finished = done;
        socket.close();
      }),
    destroy: (error, done) => {
      let told = false;
      const tell = (failure: Error | null) => {
        if (!told) done(failure);
        told = true;
      };
      const finish = () => {
        tell(error);
        // After the error, which is emitted in the next tick.
        nextTick(() => duplex.emit("close"));
      };
      if (socket.readyState === socket.CLOSED) return finish();
      socket.once("error", tell);
      socket.once("close", finish);
      if (terminate) socket.terminate();
    },
  });
  socket.on("message", (message: Uint8Array, isBinary: boolean) => {
    const asText = !isBinary && duplex.readableObjectMode;
    if (!duplex.push(asText ? String(message) : message)) socket.pause();
  });
  socket.once("error", (error: Error) => {
    // The close frame with the reason still has to be sent.
    terminate = false;
    if (!duplex.destroyed) duplex.destroy(error);
  });
  socket.once("close", () => {
    finished?.();
    if (!duplex.destroyed) duplex.push(null);
  });
  return duplex;
}
