import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import {
  createServer,
  type IncomingMessage,
  type Server as HttpServer,
  STATUS_CODES,
} from "node:http";
import { nextTick } from "node:process";
import type { Duplex } from "node:stream";
import { refusal } from "../util/check.ts";
import {
  acceptKey,
  answerCompression,
  isValidKey,
  parseProtocols,
} from "../adopt/outside_handshake.ts";
import {
  openTermsOf,
  type PerMessageDeflateOptions,
  type SharedOptions,
  termsOf,
} from "./options.ts";
import { isTaken } from "../transport/node_stream.ts";
import { emit, run } from "./events.ts";
import { attach, WebSocket } from "./websocket.ts";

/**
 * The handshake that `verifyClient` decides about.
 *
 * @see {@linkcode WebSocketServer}
 */
export interface ClientInfo {
  /** The request's `Origin`. */
  origin: string | undefined;
  /** Whether the connection uses TLS. */
  secure: boolean;
  /** The request. */
  req: IncomingMessage;
}

/**
 * Called with the decision about a handshake.
 *
 * @see {@linkcode WebSocketServer}
 */
export type VerifyAnswer = (
  verified: boolean,
  code?: number,
  message?: string,
  headers?: Record<string, string>,
) => void;

/**
 * Decides about a handshake, by its result or by calling back.
 *
 * @see {@linkcode WebSocketServer}
 */
export type VerifyClient =
  | ((info: ClientInfo) => boolean)
  | ((info: ClientInfo, answer: VerifyAnswer) => void);

/**
 * Options of a server. Exactly one of `port`, `server` and `noServer` is required.
 *
 * @see {@linkcode WebSocketServer}
 */
export interface ServerOptions extends SharedOptions {
  /** The port to listen on, with an HTTP server of its own. */
  port?: number | null;
  /** The address to bind to. */
  host?: string | null;
  /** How many connections may wait to be accepted. */
  backlog?: number | null;
  /** The HTTP server whose `upgrade` events are handled. */
  server?: HttpServer | null;
  /** Handles only requests that are passed to `handleUpgrade`. */
  noServer?: boolean;
  /** The path of the requests to handle. Default: any. */
  path?: string | null;
  /** Whether to accept compression, and how. @default {false} */
  perMessageDeflate?: boolean | PerMessageDeflateOptions;
  /** Whether the set `clients` is maintained. @default {true} */
  clientTracking?: boolean;
  /** Decides about handshakes. */
  verifyClient?: VerifyClient | null;
  /** Chooses among the offered subprotocols. Default: the first. */
  handleProtocols?: ((protocols: Set<string>, request: IncomingMessage) => string | false) | null;
  /** The class of the sockets. */
  WebSocket?: typeof WebSocket;
}

/**
 * The events of a server, each with what its listeners get.
 *
 * @see {@linkcode WebSocketServer}
 */
export interface WebSocketServerEvents {
  /** The server is listening. */
  listening: [];
  /** A client has connected. */
  connection: [socket: WebSocket, request: IncomingMessage];
  /** The response to a handshake is about to be sent; listeners may change the lines of its head. */
  headers: [lines: string[], request: IncomingMessage];
  /** A request isn't a valid handshake. A listener has to answer and end the stream. */
  wsClientError: [error: Error, stream: Duplex, request: IncomingMessage];
  /** The HTTP server has failed. */
  error: [error: Error];
  /** The server has closed, and so has its last client. */
  close: [];
}

type Accepted = (socket: WebSocket, request: IncomingMessage) => void;

/** The types of the event listeners. */
export interface WebSocketServer {
  /** Adds a listener. */
  on<Name extends keyof WebSocketServerEvents>(
    event: Name,
    listener: (this: WebSocketServer, ...args: WebSocketServerEvents[Name]) => void,
  ): this;
  /** Adds a listener of any other event. */
  // deno-lint-ignore no-explicit-any -- as the emitter has it
  on(event: string | symbol, listener: (this: WebSocketServer, ...args: any[]) => void): this;
  /** Adds a listener of the next such event. */
  once<Name extends keyof WebSocketServerEvents>(
    event: Name,
    listener: (this: WebSocketServer, ...args: WebSocketServerEvents[Name]) => void,
  ): this;
  /** Adds a listener of the next such event of any other name. */
  // deno-lint-ignore no-explicit-any -- as the emitter has it
  once(event: string | symbol, listener: (this: WebSocketServer, ...args: any[]) => void): this;
}

/**
 * The `WebSocketServer` of the npm package `ws`, on this library's connections. As in that package, it handles the
 * upgrades of a `node:http` server, either its own or a given one.
 *
 * @example
 * ```ts
 * import { createServer } from "node:http";
 * import { type WebSocket, WebSocketServer } from "@sluice/websocket/ws";
 *
 * const server = createServer((_request, response) => response.end("hello"));
 * const sockets = new WebSocketServer({ noServer: true, maxPayload: 64 * 1024 });
 * server.on("upgrade", (request, socket, head) => {
 *   sockets.handleUpgrade(request, socket, head, (ws: WebSocket) => ws.send("welcome"));
 * });
 * server.listen(0, "127.0.0.1", () => server.close());
 * ```
 */
export class WebSocketServer extends EventEmitter {
  /** The options. `handleProtocols` may be set later. */
  readonly options: ServerOptions & { WebSocket: typeof WebSocket };
  /** The sockets that are not closed. Without `clientTracking` it is `undefined`, although the type says otherwise. */
  readonly clients!: Set<WebSocket>;
  #server: HttpServer | null = null;
  #state: "running" | "closing" | "closed" = "running";
  #removeListeners: () => void = () => {};
  #closeWithLast = false;

  /**
   * Makes a server.
   *
   * @param options The options.
   * @param listening Called when the server is listening on `port`.
   */
  constructor(options: ServerOptions, listening?: () => void) {
    super();
    const { port, server, noServer } = options ?? {};
    const given = [port !== undefined && port !== null, !!server, !!noServer];
    if (given.filter(Boolean).length !== 1) {
      throw new TypeError(
        'One and only one of the "port", "server", or "noServer" options must be specified',
      );
    }
    this.options = {
      allowSynchronousEvents: true,
      autoPong: true,
      maxBufferedChunks: 256 * 1024,
      maxFragments: 16 * 1024,
      maxPayload: 100 * 1024 * 1024,
      maxPendingAutoPongs: 60,
      skipUTF8Validation: false,
      perMessageDeflate: false,
      handleProtocols: null,
      clientTracking: true,
      closeTimeout: 30_000,
      verifyClient: null,
      noServer: false,
      backlog: null,
      server: null,
      host: null,
      path: null,
      port: null,
      WebSocket,
      ...options,
    };
    if (this.options.perMessageDeflate === true) this.options.perMessageDeflate = {};
    // Invalid options throw here, and not when the first client connects.
    openTermsOf(this.options, {});
    if (this.options.clientTracking) this.clients = new Set();
    if (server) this.#server = server;
    else if (!noServer) this.#server = this.#listen(listening);
    if (this.#server !== null) this.#listenTo(this.#server);
  }

  #listen(listening: (() => void) | undefined): HttpServer {
    const { port, host, backlog } = this.options;
    const server = createServer((_, response) => {
      const body = STATUS_CODES[426]!;
      response.writeHead(426, { "Content-Length": body.length, "Content-Type": "text/plain" });
      response.end(body);
    });
    server.listen({
      port: port!,
      host: host ?? undefined,
      backlog: backlog ?? undefined,
    }, listening);
    return server;
  }

  #listenTo(server: HttpServer): void {
    const accepted: Accepted = (socket, request) => void emit(this, "connection", socket, request);
    const listeners = {
      listening: () => void emit(this, "listening"),
      error: (error: Error) => void emit(this, "error", error),
      upgrade: (request: IncomingMessage, stream: Duplex, head: Buffer) =>
        run(() => {
          try {
            this.handleUpgrade(request, stream, head, accepted);
          } catch (error) {
            // A callback that decides about the handshake has failed, so the client has to be answered here.
            if (!isTaken(stream)) abort(stream, 500);
            throw error;
          }
        }),
    };
    for (const [name, listener] of Object.entries(listeners)) {
      server.on(name, listener as () => void);
    }
    this.#removeListeners = () => {
      for (const [name, listener] of Object.entries(listeners)) {
        server.removeListener(name, listener as () => void);
      }
    };
  }

  /** The address that the server is bound to; `null` if it isn't bound. */
  address(): ReturnType<HttpServer["address"]> {
    if (this.options.noServer) throw new Error('The server is operating in "noServer" mode');
    return this.#server === null ? null : this.#server.address();
  }

  /**
   * Stops accepting handshakes, and emits `close` when the last socket has closed. Open sockets are not closed.
   *
   * @param closed Called with the `close` event; with an error if the server was closed already.
   */
  close(closed?: (error?: Error) => void): void {
    if (this.#state === "closed") {
      if (closed !== undefined) {
        this.once("close", () => closed(new Error("The server is not running")));
      }
      nextTick(() => emit(this, "close"));
      return;
    }
    if (closed !== undefined) this.once("close", closed);
    if (this.#state === "closing") return;
    this.#state = "closing";
    const server = this.#server;
    this.#server = null;
    this.#removeListeners();
    if (server !== null && !this.options.server) server.close(() => this.#closed());
    else if (this.clients === undefined || this.clients.size === 0) nextTick(() => this.#closed());
    else this.#closeWithLast = true;
  }

  #closed(): void {
    this.#state = "closed";
    emit(this, "close");
  }

  /** Whether this server handles a request. Decided by the path of the URL. */
  shouldHandle(request: IncomingMessage): boolean {
    const { path } = this.options;
    return !path || request.url!.split("?", 1)[0] === path;
  }

  /**
   * Performs the handshake of a request from an `upgrade` event of a `node:http` server.
   *
   * @param request The request.
   * @param stream The socket of the request, owned by this server from now on.
   * @param head The bytes after the request.
   * @param accepted Called with the open socket.
   */
  handleUpgrade(
    request: IncomingMessage,
    stream: Duplex,
    head: Uint8Array,
    accepted: (socket: WebSocket, request: IncomingMessage) => void,
  ): void {
    const destroy = () => stream.destroy();
    stream.on("error", destroy);
    const proceed = (protocols: Set<string>, extensions: string) => {
      stream.removeListener("error", destroy);
      this.#complete(request, stream, head, protocols, extensions, accepted);
    };
    const { headers } = request;
    const version = Number(headers["sec-websocket-version"]);
    const refuse = (code: number, message: string, more?: Record<string, string>) =>
      this.#refuse(request, stream, code, message, more);
    if (request.method !== "GET") return refuse(405, "Invalid HTTP method");
    if (headers.upgrade?.toLowerCase() !== "websocket") {
      return refuse(400, "Invalid Upgrade header");
    }
    if (!isValidKey(headers["sec-websocket-key"] ?? "")) {
      return refuse(400, "Missing or invalid Sec-WebSocket-Key header");
    }
    if (version !== 13 && version !== 8) {
      return refuse(400, "Missing or invalid Sec-WebSocket-Version header", {
        "Sec-WebSocket-Version": "13, 8",
      });
    }
    if (!this.shouldHandle(request)) return abort(stream, 400);
    let protocols: Set<string>;
    try {
      const offered = headers["sec-websocket-protocol"];
      protocols = new Set(offered === undefined ? [] : parseProtocols(offered));
    } catch {
      return refuse(400, "Invalid Sec-WebSocket-Protocol header");
    }
    const { perMessageDeflate } = this.options;
    const offers = headers["sec-websocket-extensions"];
    let extensions = "";
    try {
      if (perMessageDeflate && offers !== undefined) {
        extensions = answerCompression(offers, termsOf(perMessageDeflate));
      }
    } catch {
      return refuse(400, "Invalid or unacceptable Sec-WebSocket-Extensions header");
    }
    this.#verify(request, stream, version, () => proceed(protocols, extensions));
  }

  #verify(request: IncomingMessage, stream: Duplex, version: number, proceed: () => void): void {
    const { verifyClient } = this.options;
    if (!verifyClient) return proceed();
    const origin = request.headers[version === 8 ? "sec-websocket-origin" : "origin"];
    const { authorized, encrypted } = request.socket as {
      authorized?: boolean;
      encrypted?: boolean;
    };
    const info: ClientInfo = {
      origin: origin as string | undefined,
      secure: Boolean(authorized || encrypted),
      req: request,
    };
    if (verifyClient.length === 2) {
      (verifyClient as (info: ClientInfo, answer: VerifyAnswer) => void)(
        info,
        (verified, code, message, headers) =>
          verified ? proceed() : abort(stream, code || 401, message, headers),
      );
    } else if ((verifyClient as (info: ClientInfo) => boolean)(info)) {
      proceed();
    } else {
      abort(stream, 401);
    }
  }

  #complete(
    request: IncomingMessage,
    stream: Duplex,
    head: Uint8Array,
    protocols: Set<string>,
    extensions: string,
    accepted: Accepted,
  ): void {
    // The client has disconnected.
    if (!stream.readable || !stream.writable) {
      stream.destroy();
      return;
    }
    if (isTaken(stream)) {
      throw new Error(
        "server.handleUpgrade() was called more than once with the same socket, possibly due to a misconfiguration",
      );
    }
    if (this.#state !== "running") return abort(stream, 503);
    const { handleProtocols } = this.options;
    const key = request.headers["sec-websocket-key"]!;
    const lines = [
      "HTTP/1.1 101 Switching Protocols",
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Accept: ${acceptKey(key)}`,
    ];
    const [first = ""] = protocols;
    const protocol = protocols.size === 0
      ? ""
      : (handleProtocols ? handleProtocols(protocols, request) : first) || "";
    if (typeof protocol !== "string") {
      throw refusal("accept a handshake with what handleProtocols returned", protocol, "a string");
    }
    if (protocol !== "") lines.push(`Sec-WebSocket-Protocol: ${protocol}`);
    if (extensions !== "") lines.push(`Sec-WebSocket-Extensions: ${extensions}`);
    const socket = new this.options.WebSocket(null, undefined, this.options as never);
    emit(this, "headers", lines, request);
    stream.write([...lines, "", ""].join("\r\n"));
    this.clients?.add(socket);
    attach(socket, stream, head, { role: "server", protocol, extensions, closed: this.#left });
    accepted(socket, request);
  }

  /** Called when a socket has closed. One function for all sockets saves memory. */
  readonly #left = (socket: WebSocket): void => {
    const { clients } = this;
    if (clients === undefined) return;
    clients.delete(socket);
    if (this.#closeWithLast && clients.size === 0) nextTick(() => this.#closed());
  };

  #refuse(
    request: IncomingMessage,
    stream: Duplex,
    code: number,
    message: string,
    headers?: Record<string, string>,
  ): void {
    if (this.listenerCount("wsClientError") === 0) return abort(stream, code, message, headers);
    emit(this, "wsClientError", new Error(message), stream, request);
  }
}

/** Refuses a handshake, and ends its stream. */
function abort(
  stream: Duplex,
  code: number,
  given?: string,
  headers: Record<string, string> = {},
): void {
  const message = given || STATUS_CODES[code] || "";
  const lines = Object.entries({
    "Connection": "close",
    "Content-Type": "text/html",
    "Content-Length": String(Buffer.byteLength(message)),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  stream.once("finish", () => stream.destroy());
  stream.end(`HTTP/1.1 ${code} ${STATUS_CODES[code]}\r\n${lines.join("")}\r\n${message}`);
}
