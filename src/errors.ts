import type { CloseRecord } from "./protocol/close_record.ts";

/**
 * A message as passed to `send`: text, or bytes.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({ hostname: "127.0.0.1", onMessage: (_conn, data) => console.log(data) });
 * const conn = ctx.connect(listener.url);
 * await conn.opened;
 * conn.send("text");
 * conn.send(new Uint8Array([1, 2, 3])); // binary
 * conn.sendBinary("UTF-8 of a text, as binary");
 * conn.close();
 * await conn.closed;
 * ```
 */
export type Message = string | ArrayBuffer | ArrayBufferView;

/**
 * Thrown by `send` and the other methods if the connection isn't open any more. `data` is the message that was refused.
 *
 * @example Keep a refused message
 * ```ts
 * import { ConnectionClosedError, Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({ hostname: "127.0.0.1" });
 * const conn = ctx.connect(listener.url);
 * await conn.opened;
 * conn.close();
 * const later: unknown[] = [];
 * try {
 *   conn.send("important");
 * } catch (error) {
 *   if (!(error instanceof ConnectionClosedError)) throw error;
 *   later.push(error.data);
 * }
 * console.log(later);
 * ```
 */
export class ConnectionClosedError extends Error {
  /** The name of the class. */
  override readonly name = "ConnectionClosedError";
  /** The message that was refused, as it was passed; `undefined` if there was none. */
  readonly data: unknown;
  /** The close record, if the connection has ended. */
  readonly close: CloseRecord | undefined;

  /**
   * Makes the error.
   *
   * @param message The attempted action, and the state of the connection.
   * @param options The refused message and the close record, if there are any.
   */
  constructor(message: string, options: { data?: unknown; close?: CloseRecord } = {}) {
    super(message);
    this.data = options.data;
    this.close = options.close;
    if (options.close?.cause !== undefined) this.cause = options.close.cause;
  }
}

/**
 * Thrown if a queue is full. `data` is the message that was refused.
 *
 * @example
 * ```ts
 * import { Context, QueueFullError } from "@sluice/websocket";
 *
 * await using ctx = new Context({ maxQueueBytes: 1000 });
 * const listener = ctx.listen({ hostname: "127.0.0.1" });
 * const conn = ctx.connect(listener.url);
 * await conn.opened;
 * try {
 *   conn.send("x".repeat(2000));
 * } catch (error) {
 *   if (!(error instanceof QueueFullError)) throw error;
 *   console.log(error.message);
 * }
 * ```
 */
export class QueueFullError extends Error {
  /** The name of the class. */
  override readonly name = "QueueFullError";
  /** The message that was refused, as it was passed. */
  readonly data: unknown;

  /**
   * Makes the error.
   *
   * @param message The attempted action, and the limit.
   * @param data The refused message.
   */
  constructor(message: string, data: unknown) {
    super(message);
    this.data = data;
  }
}

/**
 * An opening handshake has failed: it was refused, or it was malformed, or the peer doesn't speak HTTP.
 *
 * @example Why a server refused
 * ```ts
 * import { Context, HandshakeError } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({
 *   hostname: "127.0.0.1",
 *   onHandshake: () => new Response("log in first", { status: 401 }),
 * });
 * try {
 *   await ctx.connect(listener.url).opened;
 * } catch (error) {
 *   if (!(error instanceof HandshakeError)) throw error;
 *   console.log(error.status, new TextDecoder().decode(error.body));
 * }
 * ```
 */
export class HandshakeError extends Error {
  /** The name of the class. */
  override readonly name = "HandshakeError";
  /** The HTTP status of the answer; 0 if none was received. */
  readonly status: number;
  /** The headers of the answer. */
  readonly headers: Headers;
  /** The first 4 KiB of the answer's body. */
  readonly body: Uint8Array;
  /**
   * Whether the request asked for a WebSocket. `false` only on a server without `handler`, for ordinary HTTP such as the
   * health check of a load balancer.
   */
  readonly isUpgrade: boolean;

  /**
   * Makes the error.
   *
   * @param message The reason.
   * @param answer The parts of the answer that are known.
   */
  constructor(
    message: string,
    answer: {
      status?: number;
      headers?: Headers;
      body?: Uint8Array;
      cause?: unknown;
      isUpgrade?: boolean;
    } = {},
  ) {
    super(message, answer.cause === undefined ? undefined : { cause: answer.cause });
    this.status = answer.status ?? 0;
    this.headers = answer.headers ?? new Headers();
    this.body = answer.body ?? new Uint8Array(0);
    this.isUpgrade = answer.isUpgrade ?? true;
  }
}

/**
 * An operation that the state of the connection doesn't allow now, such as `send` in the middle of an unfinished
 * message.
 *
 * @example
 * ```ts
 * import { Context, InvalidStateError } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({ hostname: "127.0.0.1" });
 * const conn = ctx.connect(listener.url);
 * try {
 *   conn.send("too early");
 * } catch (error) {
 *   if (!(error instanceof InvalidStateError)) throw error;
 *   console.log(error.message);
 *   await conn.opened;
 *   conn.send(error.data as string);
 * }
 * ```
 */
export class InvalidStateError extends Error {
  /** The name of the class. */
  override readonly name = "InvalidStateError";
  /** The message that was refused, as it was passed; `undefined` if there was none. */
  readonly data: unknown;

  /**
   * Makes the error.
   *
   * @param message The attempted action, and the reason.
   * @param options The refused message, if there is one.
   */
  constructor(message: string, options: { data?: unknown } = {}) {
    super(message);
    this.data = options.data;
  }
}

/**
 * This kind of connection doesn't support a method or an option; the message names one that does.
 *
 * @example
 * ```ts
 * import { Context, UnsupportedError } from "@sluice/websocket";
 *
 * const ctx = new Context();
 * const server = Deno.serve({ hostname: "127.0.0.1", port: 0 }, (request) => {
 *   const { connection, response } = ctx.upgrade(request);
 *   try {
 *     void connection.ping();
 *   } catch (error) {
 *     if (!(error instanceof UnsupportedError)) throw error;
 *     console.log(error.message);
 *   }
 *   return response;
 * });
 * const conn = ctx.connect(`ws://127.0.0.1:${server.addr.port}/`);
 * await conn.opened;
 * await ctx.shutdown();
 * await server.shutdown();
 * ```
 */
export class UnsupportedError extends Error {
  /** The name of the class. */
  override readonly name = "UnsupportedError";
}

/**
 * An operation has exceeded its time limit; the message names the operation and its phase.
 *
 * @example
 * ```ts
 * import { Context, TimeoutError } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * // It accepts, and says nothing.
 * using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const conn = ctx.connect(`ws://127.0.0.1:${silent.addr.port}/`, { connectTimeout: 50 });
 * try {
 *   await conn.opened;
 * } catch (error) {
 *   if (!(error instanceof TimeoutError)) throw error;
 *   console.log(error.message);
 * }
 * ```
 */
export class TimeoutError extends Error {
  /** The name of the class. */
  override readonly name = "TimeoutError";
}

/** Makes an `AbortError`, the platform's error for an operation that the caller has cancelled. */
export function abortError(message: string, cause?: unknown): DOMException {
  const error = new DOMException(message, "AbortError");
  if (cause !== undefined) Object.defineProperty(error, "cause", { value: cause });
  return error;
}
