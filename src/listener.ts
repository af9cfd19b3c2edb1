import { broadcast, type BroadcastOptions, type BroadcastResult } from "./broadcast.ts";
import { type Connection, type ConnectionInit, makeConnection } from "./connection.ts";
import { Engine } from "./engine.ts";
import { IncomingHandshake } from "./incoming_handshake.ts";
import {
  type ListenOptions,
  type ListenSettings,
  type PeerInfo,
  resolveListen,
} from "./listen_options.ts";
import { checkHandlers, type ConnectionHandlers, HANDLERS, pickHandlers } from "./options.ts";
import type { Sendable } from "./prepared_message.ts";
import { Refused } from "./refused.ts";
import { Registry, type ShutdownOptions, type ShutdownResult } from "./registry.ts";
import { Alarm } from "./timers.ts";
import { TlsAcceptor } from "./transport/tls_server.ts";
import type { Transport } from "./transport/transport.ts";
import { shutdownArguments } from "./shutdown.ts";

// How long accepting rests after it has failed (no descriptors left, say), growing up to the second.
const FIRST_REST = 20;
const LONGEST_REST = 1000;

/** Makes a listener that is already bound. */
export let makeListener: <Data>(registry: Registry, options: ListenOptions<Data>) => Listener<Data>;

/**
 * A listening socket, and the connections that it has accepted.
 *
 * @example Echo
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({ port: 0, onMessage: (conn, data) => conn.send(data) });
 * console.log(listener.url);
 * ```
 *
 * @typeParam Data The type of `conn.data`.
 */
export class Listener<Data = unknown> implements AsyncDisposable {
  static {
    makeListener = (registry, options) => new Listener(registry, options);
  }

  /** The port that it listens on; 0 for a Unix socket. */
  readonly port: number;
  /** The address that it is bound to. */
  readonly hostname: string;
  /** A URL that reaches it from this machine. */
  readonly url: string;
  /** Resolves when it accepts connections, which it does at once. */
  readonly ready: Promise<void> = Promise.resolve();
  /** Resolves when it accepts no more and all its connections have ended. */
  readonly finished: Promise<void>;

  readonly #socket: Deno.Listener;
  readonly #settings: ListenSettings<Data>;
  readonly #registry: Registry;
  readonly #tls: TlsAcceptor | null;
  readonly #pending = new Set<IncomingHandshake<Data>>();
  readonly #data: Data;
  readonly #finish: () => void;
  #handlers: ConnectionHandlers<Data>;
  #closed = false;
  #accepting = true;
  #shutdown: Promise<ShutdownResult> | null = null;

  private constructor(parent: Registry, options: ListenOptions<Data>) {
    this.#settings = resolveListen(options);
    this.#handlers = pickHandlers(options);
    this.#data = options.data as Data;
    this.#tls = options.tls === undefined ? null : new TlsAcceptor(options.tls);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.finished = promise;
    this.#finish = resolve;
    this.#registry = new Registry(parent.timers, parent, () => this.#checkFinished());
    this.#socket = bind(options);
    const address = this.#socket.addr as Deno.NetAddr;
    this.hostname = address.hostname;
    this.port = address.port;
    this.url = urlOf(address, this.#tls !== null);
    this.#accept();
  }

  /** The connections that are open or closing. */
  get connections(): ReadonlySet<Connection<Data>> {
    return this.#registry.connections as ReadonlySet<Connection<Data>>;
  }

  /**
   * Sends a message to every connection of this listener, as `Context.broadcast` does to all.
   *
   * @param data The message, as for `send`.
   * @param options Who gets it, who doesn't, and what becomes of slow receivers.
   * @returns How many receivers got it, and what became of the others.
   * @throws {TypeError} If the data or an option make no sense.
   */
  broadcast(data: Sendable, options?: BroadcastOptions<Data>): BroadcastResult {
    return broadcast(this.connections, data, options);
  }

  /**
   * Replaces callbacks for connections to come; those that aren't named stay.
   *
   * @param handlers The new ones.
   */
  on(handlers: ConnectionHandlers<Data>): void {
    checkHandlers("set callbacks", handlers, HANDLERS);
    this.#handlers = { ...this.#handlers, ...pickHandlers(handlers) };
  }

  /** Stops accepting; connections stay. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
    this.#checkFinished();
  }

  /**
   * Stops accepting, answers unfinished handshakes with 503, closes every connection and terminates what is left at
   * the timeout. Further calls return the same promise.
   *
   * @param options Code, reason and timeout.
   * @returns How it went.
   */
  shutdown(options: ShutdownOptions = {}): Promise<ShutdownResult> {
    if (this.#shutdown !== null) return this.#shutdown;
    const { code, reason, timeout } = shutdownArguments(options);
    this.close();
    for (const handshake of [...this.#pending]) {
      handshake.abort(503, new Error("The server is shutting down"));
    }
    return this.#shutdown = this.#registry.shutdown(code, reason, timeout);
  }

  /** Keeps the process alive while it accepts, which is the default. */
  ref(): void {
    this.#socket.ref();
  }

  /** Lets the process end although it accepts. */
  unref(): void {
    this.#socket.unref();
  }

  /** Shuts down with the defaults. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  async #accept(): Promise<void> {
    let rest = FIRST_REST;
    while (!this.#closed) {
      try {
        const conn = await this.#socket.accept();
        rest = FIRST_REST;
        // Not awaited: the next one is accepted while this one is still shaking hands.
        this.#serve(conn);
      } catch (error) {
        if (this.#closed) break;
        if (rest === FIRST_REST) {
          console.error("Accepting WebSocket connections has failed:", error);
        }
        await this.#rest(rest);
        rest = Math.min(rest * 2, LONGEST_REST);
      }
    }
    this.#accepting = false;
    this.#checkFinished();
  }

  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => this.#registry.timers.set(new Alarm(resolve), ms));
  }

  async #serve(raw: Deno.Conn): Promise<void> {
    const settings = this.#settings;
    const info: PeerInfo = { remoteAddr: raw.remoteAddr, localAddr: raw.localAddr };
    const handshake = new IncomingHandshake(raw, settings, this.#registry.timers);
    this.#pending.add(handshake);
    try {
      if ("setNoDelay" in raw) (raw as Deno.TcpConn).setNoDelay(true);
      const transport: Transport = this.#tls === null
        ? raw
        : (await this.#tls.accept(raw as Deno.TcpConn)).transport;
      const accepted = await handshake.run(transport, this.#tls !== null, info);
      if (this.#registry.connections.size >= settings.maxConnections) {
        throw new Refused(503, "Too many connections");
      }
      this.#pending.delete(handshake);
      const engine = new Engine<Data>(
        this.#registry,
        "server",
        settings.connection,
        this.#handlers,
      );
      const init: ConnectionInit<Data> = {
        url: "",
        listener: this,
        data: accepted.data === undefined ? this.#data : accepted.data,
      };
      engine.conn = makeConnection(engine, init);
      engine.open(transport, accepted.facts, accepted.answer, accepted.early);
    } catch (error) {
      const reason = await handshake.refuse(error);
      this.#pending.delete(handshake);
      try {
        await settings.onHandshakeError?.(reason, info);
      } catch (error) {
        console.error("An onHandshakeError callback failed:", error);
      }
    }
    this.#checkFinished();
  }

  #checkFinished(): void {
    if (
      this.#closed && !this.#accepting && this.#pending.size === 0 &&
      this.#registry.connections.size === 0
    ) this.#finish();
  }
}

function bind<Data>(options: ListenOptions<Data>): Deno.Listener {
  const { port = 0, hostname = "0.0.0.0", reusePort = false } = options;
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new RangeError(`Cannot listen on port ${port}: use 0 to 65535`);
  }
  if (typeof hostname !== "string") {
    throw new TypeError(`Cannot listen on a hostname of type ${typeof hostname}`);
  }
  return Deno.listen({ port, hostname, ...(reusePort ? { reusePort } : {}) });
}

function urlOf({ hostname, port }: Deno.NetAddr, secure: boolean): string {
  let host = hostname;
  if (host === "0.0.0.0") host = "127.0.0.1";
  else if (host === "::") host = "[::1]";
  else if (host.includes(":")) host = `[${host}]`;
  return `${secure ? "wss" : "ws"}://${host}:${port}/`;
}
