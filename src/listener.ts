import type { BroadcastResult } from "./pubsub/options.ts";
import { broadcast } from "./pubsub/broadcast.ts";
import {
  type BroadcastOptions,
  type Connection,
  type ConnectionHandlers,
  engineOf,
  type ListenerHandle,
} from "./connection.ts";
import type { ShutdownResult } from "./context/closing_connections.ts";
import type { Registry } from "./context/registry.ts";
import {
  Deadline,
  type Entrance,
  shutDown,
  shutdownArguments,
  type ShutdownOptions,
} from "./context/shutdown.ts";
import { count } from "./engine/describe.ts";
import { HANDLERS, pickHandlers } from "./engine/handlers.ts";
import { inspectable } from "./util/inspectable.ts";
import type { Sendable } from "./engine/prepared_message.ts";
import { Acceptor } from "./server/acceptor.ts";
import { urlOf } from "./server/bind.ts";
import {
  checkUpgrades,
  type DataOfDecision,
  type HandshakeDecision,
  LISTENER_HANDLERS,
  type ListenerHandlersOf,
  type ListenOptionsOf,
  type ListenSettings,
  resolveListen,
} from "./server/listen_options.ts";
import type { TlsAcceptorOptions } from "./transport/tls_server.ts";
import { checkHandlers } from "./util/check.ts";

/**
 * The callbacks of a listener and of its connections.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export interface ListenerHandlers<Data = unknown>
  extends ListenerHandlersOf<Data, Listener<Data>> {}

/**
 * Options of `listen`.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export interface ListenOptions<Data = unknown, Decision = HandshakeDecision<Data>>
  extends ListenOptionsOf<Data, Listener<Data>, Decision> {}

/**
 * The argument of `listen`, by the type of the context's `data`.
 *
 * @typeParam Data The type of `data` in the context.
 * @typeParam Default The type of the `data` that the context's own options gave; `undefined` for none.
 * @typeParam Own The type of the option `data`, if the context has no type.
 * @typeParam Decision The type of the answers of `onHandshake`, if the context has no type.
 *
 * @see {@linkcode Context}
 */
export type ListenArguments<Data, Default, Own = Data, Decision = HandshakeDecision> =
  unknown extends Data ? [
      options?:
        & ListenOptions<DataOfDecision<Decision, NoInfer<Own>>, Decision>
        & { data?: Own },
    ]
    : undefined extends Data ? [options?: ListenOptions<Data>]
    : undefined extends Default ? [
        options:
          | (ListenOptions<Data, HandshakeDecision<Data | undefined>> & { data: Data })
          | (ListenOptions<Data> & { onHandshake: unknown }),
      ]
    : [options?: ListenOptions<Data, HandshakeDecision<Data | undefined>>];

/**
 * The type of `data` of a listener's connections: that of the context, or of `onHandshake` and the option `data`.
 *
 * @see {@linkcode Context}
 */
export type ListenerData<Data, Own, Decision> = unknown extends Data ? DataOfDecision<Decision, Own>
  : Data;

/** Makes a listener that is already bound. */
export let makeListener: <Data>(registry: Registry, options: ListenOptions<Data>) => Listener<Data>;

/** Returns the part of a listener that a shutdown needs. */
export let entranceOf: <Data>(listener: Listener<Data>) => Entrance;

/**
 * A listening socket, and the connections that it has accepted.
 *
 * @example Echo
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({ hostname: "127.0.0.1", onMessage: (conn, data) => conn.send(data) });
 * console.log(listener.url);
 * ```
 *
 * @typeParam Data The type of `conn.data`.
 */
export class Listener<Data = unknown> implements ListenerHandle<Data>, AsyncDisposable {
  static {
    makeListener = (registry, options) => new Listener(registry, options);
    entranceOf = (listener) => listener.#acceptor;
    inspectable(Listener.prototype, (listener) => listener.#describe());
  }

  /** The port that it listens on; 0 for a Unix socket. */
  readonly port: number;
  /** The address that it is bound to; `""` for a Unix socket. */
  readonly hostname: string;
  /** The path of the Unix socket that it listens on; `null` for TCP. */
  readonly unix: string | null;
  /** A URL that reaches it from this machine; a Unix socket also needs `unix`. */
  readonly url: string;
  /** Resolves when it accepts connections, which it does at once. */
  readonly ready: Promise<void> = Promise.resolve();
  /** Resolves when it has stopped accepting and all its connections have ended. */
  readonly finished: Promise<void>;

  readonly #acceptor: Acceptor<Data>;
  #settings: ListenSettings<Data>;
  #handlers: ConnectionHandlers<Data>;
  #shutdown: Promise<ShutdownResult> | null = null;

  private constructor(parent: Registry, options: ListenOptions<Data>) {
    this.#settings = resolveListen(options);
    this.#handlers = pickHandlers(options);
    this.#acceptor = new Acceptor<Data>(parent, this, options as ListenOptionsOf<Data>, {
      settings: this.#settings,
      handlers: this.#handlers,
    });
    const { addr, secure, finished } = this.#acceptor;
    const address = "hostname" in addr ? addr : { hostname: "", port: 0 };
    this.hostname = address.hostname;
    this.port = address.port;
    this.unix = options.unix ?? null;
    this.url = urlOf(addr, secure);
    this.finished = finished;
  }

  /** The open and closing connections. */
  get connections(): ReadonlySet<Connection<Data>> {
    return this.#acceptor.registry.connections as ReadonlySet<Connection<Data>>;
  }

  /**
   * Sends a message to all connections of this listener, like `Context.broadcast`.
   *
   * @param data The message, as for `send`.
   * @param options Connections to send to or to leave out, and the policy for slow ones.
   * @returns The numbers of receivers that got it, and that didn't.
   * @throws {TypeError} If the data or an option is invalid.
   */
  broadcast(data: Sendable, options: BroadcastOptions<Data> = {}): BroadcastResult {
    return broadcast(this.#acceptor.registry.engines(), data, options, engineOf);
  }

  /**
   * Replaces some callbacks; the others stay. Callbacks of connections apply to later connections.
   *
   * @param handlers The new callbacks.
   */
  on(handlers: ListenerHandlers<Data>): void {
    checkHandlers("set callbacks", handlers, [...HANDLERS, ...LISTENER_HANDLERS]);
    const { upgrades, handler } = this.#settings;
    checkUpgrades("set callbacks", { upgrades, handler, onHandshake: handlers.onHandshake });
    this.#handlers = { ...this.#handlers, ...pickHandlers(handlers) };
    const own = LISTENER_HANDLERS.filter((name) => handlers[name] !== undefined);
    // A copy, since handshakes in progress keep the earlier callbacks.
    this.#settings = {
      ...this.#settings,
      ...Object.fromEntries(own.map((name) => [name, handlers[name]])),
    };
    this.#acceptor.on({ settings: this.#settings, handlers: this.#handlers });
  }

  /**
   * Replaces the whole option `tls`. New handshakes use the new certificate and the new authorities; open connections and
   * handshakes in progress aren't affected.
   *
   * A client that resumes a session gets no certificate: Deno's TLS issues tickets for the whole process, which are valid
   * for 12 hours and can't be revoked. With `clientCaCerts` the client's certificate is verified again on resumption, so
   * no client gets in by an authority that has been removed.
   *
   * @param tls As for `listen`.
   * @throws {TypeError} If a PEM can't be parsed, the key doesn't match the certificate, or the listener was made without
   * `tls`. The earlier options then stay.
   *
   * @example A renewed certificate
   * ```ts no-eval
   * import { Context } from "@sluice/websocket";
   *
   * const DIR = "/etc/letsencrypt/live/chat.example";
   * const read = async () => ({
   *   cert: await Deno.readTextFile(`${DIR}/fullchain.pem`),
   *   key: await Deno.readTextFile(`${DIR}/privkey.pem`),
   * });
   * const ctx = new Context();
   * const listener = ctx.listen({ hostname: "0.0.0.0", port: 443, tls: await read() });
   * Deno.addSignalListener("SIGHUP", async () => listener.setTls(await read()));
   * ```
   */
  setTls(tls: TlsAcceptorOptions): void {
    this.#acceptor.setTls(tls);
  }

  /** Stops accepting; connections stay. */
  close(): void {
    this.#acceptor.close();
  }

  /**
   * Stops accepting, answers unfinished handshakes with 503, calls `onShutdown`, closes all connections, and terminates the
   * rest of them at the timeout. Further calls return the same promise.
   *
   * @param options Code, reason and timeout.
   * @returns The numbers of connections that were closed cleanly, and that had to be terminated.
   */
  shutdown(options: ShutdownOptions = {}): Promise<ShutdownResult> {
    if (this.#shutdown !== null) return this.#shutdown;
    const settled = shutdownArguments(options);
    const { promise, resolve } = Promise.withResolvers<ShutdownResult>();
    // Set before callbacks of the application run, which may call this method again.
    this.#shutdown = promise;
    const acceptor = this.#acceptor, deadline = new Deadline(settled.timeout);
    resolve(shutDown(acceptor.registry, [acceptor], settled, deadline));
    return promise;
  }

  /** Lets the listener keep the process alive while it accepts, which is the default. */
  ref(): void {
    this.#acceptor.ref();
  }

  /** Lets the process end although the listener accepts. */
  unref(): void {
    this.#acceptor.unref();
  }

  #describe(): string {
    const { registry, handshakes, closed } = this.#acceptor;
    const parts = [
      this.unix === null ? this.url : `unix:${this.unix}`,
      count(registry.size, "connection"),
      count(handshakes, "handshake"),
    ];
    if (closed) parts.push("accepts no more");
    return `Listener { ${parts.join(", ")} }`;
  }

  /** Shuts down with the defaults. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}
