import { adopt } from "./adopt.ts";
import type { AdoptOptions } from "./adopt_options.ts";
import type { AdoptSource } from "./adopt_source.ts";
import { type ConnectOptions, resolveConnect } from "./connect_options.ts";
import { type Connection, makeConnection } from "./connection.ts";
import { Dial } from "./dial.ts";
import { parseProxyUrl } from "./dial/proxy_url.ts";
import { Engine } from "./engine.ts";
import { abortError } from "./errors.ts";
import type { ListenOptions } from "./listen_options.ts";
import { type Listener, makeListener } from "./listener.ts";
import {
  checkHandlers,
  type ConnectionOptions,
  HANDLERS,
  pickHandlers,
  resolveSettings,
} from "./options.ts";
import { Registry, type ShutdownOptions, type ShutdownResult } from "./registry.ts";
import { shutdownArguments } from "./shutdown.ts";
import { Timers } from "./timers.ts";
import { checkTlsClientOptions } from "./transport/tls_client.ts";
import { upgrade } from "./upgrade.ts";
import { checkUpgradeOptions, type Upgraded, type UpgradeOptions } from "./upgrade_options.ts";

/** Options of a context: defaults for every connection. */
export interface ContextOptions<Data = unknown> extends ConnectionOptions<Data> {
  /** How clients do TLS, where `connect` doesn't say. */
  tls?: ConnectOptions["tls"];
  /** The proxy of clients, where `connect` doesn't say. */
  proxy?: ConnectOptions["proxy"];
}

/** Counters of a context. */
export interface ContextStats {
  /** Connections that are open or closing. */
  openConnections: number;
  /** Connections that have been opened. */
  connections: number;
  /** Messages accepted by `send` and its kin. */
  messagesSent: number;
  /** Messages received whole. */
  messagesReceived: number;
  /** Bytes that the system has taken, framing included. */
  bytesSent: number;
  /** Bytes received, framing included. */
  bytesReceived: number;
  /** Payload bytes that the system has not taken yet. */
  queuedBytes: number;
  /** The most that one connection's queue has held. */
  queueHighWater: number;
  /** Calls of `pause` that paused. */
  pauses: number;
  /** Times that a queue has drained. */
  drains: number;
  /** Messages dropped by the queue policy `"drop"`. */
  dropped: number;
}

/**
 * What a program holds: defaults, connections, listeners, and their common end.
 *
 * It does not keep the process alive by itself; listeners and open connections do.
 *
 * @example Connect
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({ port: 0, onMessage: (conn, data) => conn.send(data) });
 * const conn = ctx.connect(listener.url);
 * await conn.opened;
 * conn.send("hello");
 * for await (const message of conn) {
 *   console.log(message);
 *   break;
 * }
 * ```
 *
 * @typeParam Data The type of `conn.data`.
 */
export class Context<Data = unknown> implements AsyncDisposable {
  readonly #options: ContextOptions<Data>;
  readonly #registry = new Registry(new Timers());
  readonly #listeners = new Set<Listener<Data>>();
  #shutdown: Promise<ShutdownResult> | null = null;

  /**
   * Makes a context.
   *
   * @param options Defaults for every connection.
   * @throws {TypeError | RangeError} If an option makes no sense.
   */
  constructor(options: ContextOptions<Data> = {}) {
    checkHandlers("make a context", options, HANDLERS);
    resolveSettings("make a context", options as ConnectionOptions, false);
    checkTlsClientOptions(options.tls ?? {});
    if (options.proxy !== undefined && options.proxy !== null) parseProxyUrl(options.proxy);
    this.#options = { ...options };
  }

  /** The connections that are open or closing, clients' and servers'. */
  get connections(): ReadonlySet<Connection<Data>> {
    return this.#registry.connections as ReadonlySet<Connection<Data>>;
  }

  /**
   * Connects to a server. Returns at once; `opened` of the connection tells the outcome.
   *
   * @param url `ws:` or `wss:` (`http:` and `https:` are read as those), without fragment and user info.
   * @param options Options of the connection and of the handshake.
   * @returns A connection in state `"connecting"`.
   * @throws {TypeError | RangeError} If an argument makes no sense.
   */
  connect(url: string | URL, options: ConnectOptions<Data> = {}): Connection<Data> {
    this.#checkAlive("connect");
    const merged = { ...this.#options, ...options };
    const settings = resolveConnect(url, merged as ConnectOptions);
    const engine = new Engine<Data>(
      this.#registry,
      "client",
      settings.connection,
      pickHandlers(merged),
    );
    engine.conn = makeConnection(engine, {
      url: settings.target.href,
      listener: null,
      data: merged.data as Data,
    });
    const dial = new Dial(engine, settings);
    this.#registry.connecting.add(engine);
    if (settings.signal?.aborted) {
      const { reason } = settings.signal;
      queueMicrotask(() =>
        engine.abandon(abortError("The attempt to connect was aborted", reason), false)
      );
    } else {
      dial.run();
    }
    return engine.conn;
  }

  /**
   * Listens for connections. The listener is bound when this returns.
   *
   * @param options Where to listen, how to answer handshakes, and options of the connections.
   * @returns The listener.
   * @throws {TypeError | RangeError} If an option makes no sense.
   * @throws {Deno.errors.AddrInUse} If the port is taken.
   */
  listen(options: ListenOptions<Data> = {}): Listener<Data> {
    this.#checkAlive("listen");
    const { tls: _tls, proxy: _proxy, ...defaults } = this.#options;
    const listener = makeListener(this.#registry, { ...defaults, ...options });
    this.#listeners.add(listener);
    listener.finished.then(() => this.#listeners.delete(listener));
    return listener;
  }

  /**
   * Takes over an open byte stream: a `Deno.Conn`, a Node socket (that of `node:http`'s `upgrade` event, say), or a pair
   * of WHATWG streams. If it throws, the stream is untouched and its owner's; once it has returned, ours, and closed
   * exactly once. No callback comes before the next microtask.
   *
   * @param source The stream.
   * @param options Which end we are, whether the handshake is still to be done, and options of the connection.
   * @returns The connection: `"open"` where the handshake was done elsewhere, `"connecting"` where it is yet to be.
   * @throws {TypeError | RangeError} If an option makes no sense, or the stream is locked or closed.
   *
   * @example In a node:http server
   * ```ts
   * import { createServer } from "node:http";
   * import { Context } from "@sluice/websocket";
   *
   * const ctx = new Context();
   * const server = createServer((_request, response) => response.end("hello"));
   * server.on("upgrade", (request, socket, head) => {
   *   ctx.adopt(socket, { request, initialData: head, onMessage: (conn, data) => conn.send(data) });
   * });
   * server.listen(0, () => server.close());
   * ```
   */
  adopt(source: AdoptSource, options: AdoptOptions<Data> = {}): Connection<Data> {
    this.#checkAlive("adopt");
    const { tls: _tls, proxy: _proxy, ...defaults } = this.#options;
    return adopt(this.#registry, source, { ...defaults, ...options });
  }

  /**
   * Makes a connection of a request that `Deno.serve`, or a framework on it, has received. It is the same as any other,
   * within what Deno's own sockets can do: no pings, no frames, and a pause holds messages back here but not the peer.
   *
   * @param request The request; its handler has to return the response.
   * @param options Options of the handshake and of the connection.
   * @returns The response and the connection.
   * @throws {UnsupportedError} For options that need frames; it names `listen` and `adopt`.
   * @throws {TypeError} If the request isn't a WebSocket handshake, or an option makes no sense.
   *
   * @example
   * ```ts
   * import { Context } from "@sluice/websocket";
   *
   * const ctx = new Context();
   * const server = Deno.serve({ port: 0 }, (request) => {
   *   if (request.headers.get("upgrade") !== "websocket") return new Response("hello");
   *   const { response } = ctx.upgrade(request, { onMessage: (conn, data) => conn.send(data) });
   *   return response;
   * });
   * await server.shutdown();
   * ```
   */
  upgrade(
    request: Request,
    options: UpgradeOptions<Data> = {},
  ): Upgraded<Connection<Data>> {
    this.#checkAlive("upgrade");
    checkUpgradeOptions(options);
    const { tls: _tls, proxy: _proxy, ...defaults } = this.#options;
    return upgrade(this.#registry, request, { ...defaults, ...options });
  }

  /**
   * Reads the counters, of ended connections too.
   *
   * @returns A snapshot.
   */
  stats(): ContextStats {
    let queuedBytes = 0;
    for (const conn of this.#registry.connections) queuedBytes += conn.queuedBytes;
    return {
      openConnections: this.#registry.connections.size,
      queuedBytes,
      ...this.#registry.totals(),
    };
  }

  /**
   * Ends everything: closes the listening sockets, answers unfinished handshakes with 503, closes every connection and
   * terminates what is left at the timeout. Further calls return the same promise.
   *
   * @param options Code, reason and timeout.
   * @returns How it went.
   */
  shutdown(options: ShutdownOptions = {}): Promise<ShutdownResult> {
    if (this.#shutdown !== null) return this.#shutdown;
    const { code, reason, timeout } = shutdownArguments(options);
    // The listeners' connections are among the context's, so they are counted there.
    const listeners = [...this.#listeners].map((listener) =>
      listener.shutdown({ code, reason, timeout })
    );
    this.#shutdown = this.#registry.shutdown(code, reason, timeout)
      .then((result) => Promise.all(listeners).then(() => result));
    return this.#shutdown;
  }

  /** Shuts down with the defaults. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  #checkAlive(action: string): void {
    if (this.#shutdown !== null) {
      throw new Error(`Cannot ${action} on a context that was shut down`);
    }
  }
}
