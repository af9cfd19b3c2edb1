import type { CloseRecord } from "../protocol/close_record.ts";
import type { ReceivedMessage } from "../flow/receive_queue.ts";
import type { MessageHeader } from "../protocol/message_header.ts";
import type { FrameHeader } from "../protocol/message_header.ts";

/**
 * The public object of an engine: a `Connection`, which is in a layer above. The engine passes it to callbacks and never
 * uses it.
 */
// deno-lint-ignore no-explicit-any
export type Face = any;

/**
 * The callbacks of a connection; `Face` is the type of their first argument. If one throws or its promise rejects, the
 * error is reported to `onError` (or to the console if there is none) and the connection continues.
 *
 * @see {@linkcode ConnectionHandlers}
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({
 *   hostname: "127.0.0.1",
 *   onConnect: (conn) => void conn.send("welcome"),
 *   async onMessage(conn, data) { // the next message waits for the promise
 *     await new Promise((resolve) => setTimeout(resolve, 10));
 *     if (conn.state === "open") conn.send(`you said: ${data}`);
 *   },
 *   onError: (_conn, error) => console.error(error),
 *   onClose: (_conn, close) => console.log(`${close}`),
 * });
 * const conn = ctx.connect(listener.url);
 * console.log(await conn.receive());
 * conn.send("hello");
 * console.log(await conn.receive());
 * ```
 *
 * @example Frames, for messages that are too large to hold
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({ hostname: "127.0.0.1", onConnect: (conn) => void conn.send("hello") });
 * const conn = ctx.connect(listener.url, {
 *   assemble: false,
 *   onFrameStart: (_conn, { opcode, fin, length }) => console.log({ opcode, fin, length }),
 *   onFrameChunk: (_conn, bytes) => console.log(`${bytes.length} bytes`),
 *   onFrameEnd: (conn) => conn.close(),
 * });
 * await conn.closed;
 * ```
 */
export interface HandlersOf<Face> {
  /** The handshake is complete. No message is delivered before this has returned, or its promise settled. */
  onConnect?(conn: Face): unknown;
  /**
   * A whole message. If the callback returns a promise, the next message waits for it. With `allowRsv` it also gets the
   * header of the message's first frame. A text message with a reserved bit set comes as bytes if it isn't UTF-8, since
   * an extension has transformed it.
   */
  onMessage?(conn: Face, data: ReceivedMessage, header?: MessageHeader): unknown;
  /** The connection has ended; exactly once, failed connects included, after the last message. */
  onClose?(conn: Face, close: CloseRecord): unknown;
  /** A failed connect, a violation of the protocol, an I/O failure, or a callback that threw. */
  onError?(conn: Face, error: unknown): unknown;
  /** A ping was received; it has been answered. */
  onPing?(conn: Face, payload: Uint8Array): unknown;
  /** A pong was received. */
  onPong?(conn: Face, payload: Uint8Array): unknown;
  /** The queue has fallen to `lowWaterMark` or below, after it had risen above it: once per crossing. */
  onDrain?(conn: Face): unknown;
  /**
   * A data frame begins. If it returns a promise, reading waits for it.
   *
   * @experimental It may change in a minor release.
   */
  onFrameStart?(conn: Face, header: FrameHeader): unknown;
  /**
   * A part of the frame's payload. The view is valid until the callback returns or its promise settles. If it returns a
   * promise, reading waits for it.
   *
   * @experimental It may change in a minor release.
   */
  onFrameChunk?(conn: Face, bytes: Uint8Array): unknown;
  /**
   * The frame is complete. If it returns a promise, reading waits for it.
   *
   * @experimental It may change in a minor release.
   */
  onFrameEnd?(conn: Face): unknown;
}

/** The callbacks, as the engine calls them. */
export type Handlers = HandlersOf<Face>;

/** The names of the callbacks that need a transport of frames, not only of messages. */
export const FRAME_HANDLERS = [
  "onPing",
  "onPong",
  "onFrameStart",
  "onFrameChunk",
  "onFrameEnd",
] as const;

/** The names of the callbacks of a connection. */
export const HANDLERS = [
  "onConnect",
  "onMessage",
  "onClose",
  "onError",
  "onPing",
  "onPong",
  "onDrain",
  "onFrameStart",
  "onFrameChunk",
  "onFrameEnd",
] as const;

/** Returns the callbacks among options. */
export function pickHandlers(options: Handlers): Handlers {
  const handlers: Record<string, unknown> = {};
  for (const name of HANDLERS) if (options[name] !== undefined) handlers[name] = options[name];
  return handlers;
}
