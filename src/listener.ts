import { AcceptBackoff } from "./server/accept_backoff.ts";
import { AddressLimit } from "./server/address_limit.ts";
import { broadcast } from "./pubsub/broadcast.ts";
import type { BroadcastResult } from "./pubsub/options.ts";
import {
  type BroadcastOptions,
  type Connection,
  type ConnectionInit,
  engineOf,
  type ListenerHandle,
  makeConnection,
} from "./connection.ts";
import { Engine } from "./engine/engine.ts";
import { HttpServer } from "./server/http/http_server.ts";
import { evictOldest } from "./server/handshake_limit.ts";
import { PendingHandshake } from "./server/pending_handshake.ts";
import {
  type DataOfDecision,
  type HandshakeDecision,
  LISTENER_HANDLERS,
  type ListenerHandlersOf,
  type ListenOptionsOf,
  type ListenSettings,
  resolveListen,
} from "./server/listen_options.ts";
import type { PeerInfo } from "./server/peer_info.ts";
import { callForeign } from "./util/foreign.ts";
import { HANDLERS, pickHandlers } from "./engine/handlers.ts";
import type { ConnectionHandlers } from "./connection.ts";
import { checkHandlers, flag, integer, refusal } from "./util/check.ts";
import type { Sendable } from "./engine/prepared_message.ts";
import { Refusal } from "./handshake/refusal.ts";
import { Registry, type ShutdownOptions, type ShutdownResult } from "./context/registry.ts";
import { MemberList } from "./util/member_list.ts";
import { Interval } from "./util/interval.ts";
import { TlsAcceptor, type TlsAcceptorOptions } from "./transport/tls_server.ts";
import type { Transport } from "./transport/transport.ts";
import { bindUnix } from "./server/unix_listener.ts";
import { shutdownAfter, shutdownArguments } from "./context/shutdown.ts";
import { within } from "./util/timers.ts";

const NOTHING = () => {};

/** The callbacks of a listener, those of its connections included. */
export interface ListenerHandlers<Data = unknown>
  extends ListenerHandlersOf<Data, Listener<Data>> {}

/** Options of `listen`. */
export interface ListenOptions<Data = unknown, Decision = HandshakeDecision<Data>>
  extends ListenOptionsOf<Data, Listener<Data>, Decision> {}

/**
 * The argument of `listen`, in a context whose connections have `data` of a type.
 *
 * @typeParam Data The type of `data` in the context.
 * @typeParam Default The type of the `data` that the context's own options gave; `undefined` for none.
 * @typeParam Own The type of the option `data`, where the context says nothing.
 * @typeParam Decision The type of what `onHandshake` answers, where the context says nothing.
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

/** The type of the `data` of a listener's connections: the context's, or what `onHandshake` and the option `data` give. */
export type ListenerData<Data, Own, Decision> = unknown extends Data ? DataOfDecision<Decision, Own>
  : Data;

/** Makes a listener that is already bound. */
export let makeListener: <Data>(registry: Registry, options: ListenOptions<Data>) => Listener<Data>;

/**
 * Prepares a listener's shutdown: it accepts no more, and `onShutdown` is called. Returns a promise where it has to be
 * waited for.
 */
export let prepareShutdown: (listener: Listener, timeout: number) => Promise<unknown> | null;

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
export class Listener<Data = unknown> implements ListenerHandle<Data>, AsyncDisposable {
  static {
    makeListener = (registry, options) => new Listener(registry, options);
    prepareShutdown = (listener, timeout) => listener.#prepare(timeout);
  }

  /** The port that it listens on; 0 for a Unix socket. */
  readonly port: number;
  /** The address that it is bound to; `""` for a Unix socket. */
  readonly hostname: string;
  /** The Unix socket that it listens on; `null` for TCP. */
  readonly unix: string | null;
  /** A URL that reaches it from this machine; with a Unix socket, together with `unix`. */
  readonly url: string;
  /** Resolves when it accepts connections, which it does at once. */
  readonly ready: Promise<void> = Promise.resolve();
  /** Resolves when it accepts no more and all its connections have ended. */
  readonly finished: Promise<void>;

  readonly #socket: Deno.Listener;
  #settings: ListenSettings<Data>;
  readonly #registry: Registry;
  readonly #tls: TlsAcceptor | null;
  /** Where ordinary HTTP goes; `null` without a handler. */
  readonly #http: HttpServer | null;
  readonly #pending = new MemberList<PendingHandshake<Data>>();
  readonly #pause = new AcceptBackoff();
  /** `null` where there is no bound. */
  readonly #addresses: AddressLimit | null;
  readonly #data: Data;
  readonly #finish: () => void;
  #handlers: ConnectionHandlers<Data>;
  #closed = false;
  #accepting = true;
  /** Handshakes whose 101 is on the way. */
  #opening = 0;
  #ticker: Interval | null = null;
  #prepared: Promise<unknown> | null | undefined = undefined;
  #shutdown: Promise<ShutdownResult> | null = null;

  private constructor(parent: Registry, options: ListenOptions<Data>) {
    this.#settings = resolveListen(options);
    this.#handlers = pickHandlers(options);
    this.#data = options.data as Data;
    this.#tls = options.tls === undefined ? null : new TlsAcceptor(options.tls);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.finished = promise;
    this.#finish = () => {
      this.#registry.leave();
      resolve();
    };
    this.#socket = options.listener === undefined ? bind(options) : given(options, this.#tls);
    const { addr } = this.#socket;
    const secure = this.#tls !== null;
    const address = "hostname" in addr ? addr : { hostname: "", port: 0 };
    this.hostname = address.hostname;
    this.port = address.port;
    this.unix = options.unix ?? null;
    this.url = urlOf(address, secure);
    const { handler, maxConnectionsPerAddress: most } = this.#settings;
    this.#addresses = most === Infinity ? null : new AddressLimit(most);
    this.#http = handler === undefined ? null : new HttpServer({
      handler,
      limits: this.#settings,
      timers: parent.timers,
      refused: (error, info) => this.#report(error, info),
    });
    // Last, since the parent knows it from then on.
    this.#registry = new Registry(parent.timers, parent, () => this.#checkFinished());
    this.#registry.listener = this as ListenerHandle;
    this.#registry.subscriptions = this.#settings;
    this.#tick();
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
  broadcast(data: Sendable, options: BroadcastOptions<Data> = {}): BroadcastResult {
    return broadcast(this.#registry.engines(), data, options, engineOf);
  }

  /**
   * Replaces callbacks, those of connections for connections to come; those that aren't named stay.
   *
   * @param handlers The new ones.
   */
  on(handlers: ListenerHandlers<Data>): void {
    checkHandlers("set callbacks", handlers, [...HANDLERS, ...LISTENER_HANDLERS]);
    this.#handlers = { ...this.#handlers, ...pickHandlers(handlers) };
    const own = LISTENER_HANDLERS.filter((name) => handlers[name] !== undefined);
    // A copy, since handshakes under way go on with what they began with.
    this.#settings = {
      ...this.#settings,
      ...Object.fromEntries(own.map((name) => [name, handlers[name]])),
    };
    this.#registry.subscriptions = this.#settings;
    this.#tick();
  }

  /**
   * Replaces all of `tls`: handshakes that begin from now on get the new certificate and are judged by the new
   * authorities, open connections and handshakes under way stay as they are.
   *
   * A client that resumes an earlier session isn't shown a certificate: Deno's TLS gives out tickets that are good for
   * 12 hours, for the whole process, and can't be taken back. With `clientCaCerts` the client's certificate is verified
   * anew then, so nobody gets in by an authority that has been taken out.
   *
   * @param tls As for `listen`.
   * @throws {TypeError} If a PEM can't be read, if the key isn't the certificate's, or if the listener was made without
   * `tls`. What was there before stays.
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
    if (this.#tls === null) {
      throw new TypeError("Cannot set TLS on a listener that was made without tls");
    }
    this.#tls.replace(tls);
  }

  /** Stops accepting; connections stay. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ticker?.stop();
    this.#socket.close();
    this.#pause.end();
    this.#http?.close();
    this.#checkFinished();
  }

  /**
   * Stops accepting, answers unfinished handshakes with 503, calls `onShutdown`, closes every connection and terminates
   * what is left at the timeout. Further calls return the same promise.
   *
   * @param options Code, reason and timeout.
   * @returns How it went.
   */
  shutdown(options: ShutdownOptions = {}): Promise<ShutdownResult> {
    if (this.#shutdown !== null) return this.#shutdown;
    const { code, reason, timeout } = shutdownArguments(options);
    const { promise, resolve } = Promise.withResolvers<ShutdownResult>();
    // Set before anything of the application's runs, which may call this again.
    this.#shutdown = promise;
    const prepared = this.#prepare(timeout);
    const ended = shutdownAfter(prepared, this.#registry, { code, reason, timeout });
    resolve(this.#end(ended, timeout));
    return promise;
  }

  #prepare(timeout: number): Promise<unknown> | null {
    if (this.#prepared !== undefined) return this.#prepared;
    this.#prepared = null;
    this.close();
    for (const handshake of this.#pending) {
      if (handshake.accepted) continue;
      handshake.abort(503, new Error("The server is shutting down"));
    }
    const { onShutdown } = this.#settings;
    if (onShutdown === undefined) return null;
    const settled = callForeign(() => onShutdown(this), reportShutdown);
    return this.#prepared = settled === null ? null : within(timeout, settled);
  }

  #tick(): void {
    if (this.#ticker !== null || this.#closed || this.#settings.onTick === undefined) return;
    const { timers } = this.#registry, { tickInterval } = this.#settings;
    this.#ticker = new Interval(timers, tickInterval, () => this.#settings.onTick?.(this));
  }

  async #end(shutdown: Promise<ShutdownResult>, timeout: number): Promise<ShutdownResult> {
    const http = this.#http;
    if (http === null) return shutdown;
    const timer = setTimeout(() => http.terminate(), timeout);
    const result = await shutdown;
    await this.finished;
    clearTimeout(timer);
    return result;
  }

  /** Keeps the process alive while it accepts, which is the default. */
  ref(): void {
    this.#socket.ref();
    this.#pause.ref(true);
  }

  /** Lets the process end although it accepts. */
  unref(): void {
    this.#socket.unref();
    this.#pause.ref(false);
  }

  /** Shuts down with the defaults. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  async #accept(): Promise<void> {
    while (!this.#closed) {
      try {
        const conn = await this.#socket.accept();
        this.#pause.succeeded();
        // Not awaited: the next one is accepted while this one is still shaking hands.
        this.#serve(conn);
      } catch (error) {
        if (this.#closed) break;
        await this.#pause.failed(error);
      }
    }
    this.#accepting = false;
    this.#checkFinished();
  }

  async #serve(raw: Deno.Conn): Promise<void> {
    const settings = this.#settings, { timers } = this.#registry;
    const info: PeerInfo = { remoteAddr: raw.remoteAddr, localAddr: raw.localAddr };
    // Whether there is room is found out before this one is among those that could make it.
    const room = evictOldest(this.#pending, settings.maxHandshakes);
    let handshake = new PendingHandshake(raw, info, settings, timers);
    this.#pending.add(handshake);
    const release = this.#addresses === null ? NOTHING : this.#addresses.take(raw.remoteAddr);
    let engine: Engine | null = null;
    let opening = false;
    try {
      if ("setNoDelay" in raw) (raw as Deno.TcpConn).setNoDelay(true);
      if (!room) handshake.turnAway(null, "Too many handshakes");
      if (release === null) {
        const encrypted = this.#tls !== null || "handshake" in raw;
        handshake.turnAway(encrypted ? null : raw, "Too many connections from this address");
      }
      const transport: Transport = this.#tls === null
        ? raw
        : await handshake.wait(this.#tls.accept(raw));
      const { peerCertificate } = transport;
      if (peerCertificate !== undefined) handshake.info = { ...info, peerCertificate };
      // A listener that was bound elsewhere may do TLS by itself, which then begins with the first read.
      const secure = this.#tls !== null || "handshake" in raw;
      handshake.use(transport, secure);
      await handshake.readHead();
      if (handshake.isOrdinary) {
        handshake.leave();
        this.#checkRoom();
        this.#pending.delete(handshake);
        const { request, early } = handshake;
        const late = await this.#http!.serve(transport, secure, handshake.info, request, early);
        if (late === null) {
          release?.();
          return this.#checkFinished();
        }
        handshake = new PendingHandshake(raw, handshake.info, settings, timers);
        this.#pending.add(handshake);
        if (this.#closed) handshake.turnAway(transport, "The server is shutting down");
        handshake.use(late.transport, secure);
        handshake.take(late.text, late.early);
      }
      const accepted = await handshake.decide();
      this.#checkRoom();
      opening = true;
      this.#opening++;
      await handshake.accept(accepted);
      this.#pending.delete(handshake);
      engine = new Engine(
        this.#registry,
        "server",
        settings.connection,
        this.#handlers,
      );
      const init: ConnectionInit<Data> = {
        url: "",
        home: this.#registry,
        data: accepted.data === undefined ? this.#data : accepted.data,
      };
      engine.since = handshake.since;
      makeConnection(engine, init);
      if (release !== NOTHING) engine.closed().then(release);
      engine.open(handshake.transport, accepted.facts, handshake.early);
    } catch (error) {
      const reason = await handshake.refuse(error);
      this.#pending.delete(handshake);
      if (engine === null) release?.();
      this.#tellRefused(reason, handshake);
      this.#report(reason, handshake.info);
    } finally {
      if (opening) this.#opening--;
    }
    this.#checkFinished();
  }

  #report(error: unknown, info: PeerInfo): void {
    const { onHandshakeError } = this.#settings;
    // Not awaited: it may never settle.
    if (onHandshakeError !== undefined) {
      callForeign(() => onHandshakeError(error, info), reportHandshakeError);
    }
  }

  #tellRefused(error: unknown, { info, request, since }: PendingHandshake<Data>): void {
    const { observers } = this.#registry;
    if (!observers.any) return;
    const fields = (request as typeof request | undefined)?.fields ?? null;
    observers.tell((observer) => observer.refused({ error, info, fields }, since));
  }

  #checkRoom(): void {
    const size = this.#registry.size + this.#opening + (this.#http?.size ?? 0);
    if (size >= this.#settings.maxConnections) throw new Refusal(503, "Too many connections");
  }

  #checkFinished(): void {
    if (
      this.#closed && !this.#accepting && this.#pending.size === 0 &&
      this.#registry.size === 0 && (this.#http?.size ?? 0) === 0
    ) {
      this.#finish();
    }
  }
}

function bind<Data>(options: ListenOptions<Data>): Deno.Listener {
  const { port = 0, hostname = "0.0.0.0", unix } = options;
  const reusePort = flag("listen", "reusePort", options.reusePort, false);
  if (unix !== undefined) {
    if (typeof unix !== "string" || unix === "") {
      throw refusal("listen on unix", unix, "the path of a Unix socket");
    }
    if (options.port !== undefined || options.hostname !== undefined) {
      throw new TypeError("Cannot listen on a path and on a port: give one of them");
    }
    return bindUnix(unix);
  }
  integer("listen on", "port", port, 0, 0, 65535);
  if (typeof hostname !== "string") {
    throw refusal("listen on hostname", hostname, "a name or an address");
  }
  return Deno.listen({ port, hostname, ...(reusePort ? { reusePort } : {}) });
}

/** Checks a listener that was bound elsewhere, which nobody has touched so far. */
function given<Data>(options: ListenOptions<Data>, tls: TlsAcceptor | null): Deno.Listener {
  const listener = options.listener as Deno.Listener;
  if (typeof listener?.accept !== "function" || typeof listener.close !== "function") {
    throw refusal("listen with listener", listener, "a listener of Deno's");
  }
  for (const name of ["port", "hostname", "unix", "reusePort"] as const) {
    if (options[name] !== undefined) {
      throw new TypeError(`Cannot listen with both listener and ${name}: the listener is bound`);
    }
  }
  if (tls !== null && listener.addr.transport !== "tcp") {
    throw new TypeError("Cannot listen with tls on a listener that is not TCP");
  }
  return listener;
}

function reportHandshakeError(error: unknown): void {
  console.error("An onHandshakeError callback failed:", error);
}

function reportShutdown(error: unknown): void {
  console.error("An onShutdown callback failed:", error);
}

type Address = Pick<Deno.NetAddr, "hostname" | "port">;

function urlOf({ hostname, port }: Address, secure: boolean): string {
  if (hostname === "") return `${secure ? "wss" : "ws"}://localhost/`;
  let host = hostname;
  if (host === "0.0.0.0") host = "127.0.0.1";
  else if (host === "::") host = "[::1]";
  else if (host.includes(":")) host = `[${host}]`;
  return `${secure ? "wss" : "ws"}://${host}:${port}/`;
}
