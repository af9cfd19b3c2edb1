import { type ListenerHandle, makeConnection } from "../connection.ts";
import type { ConnectionOptions } from "../connection_options.ts";
import { Registry } from "../context/registry.ts";
import type { Entrance } from "../context/shutdown.ts";
import { Engine } from "../engine/engine.ts";
import type { Handlers } from "../engine/handlers.ts";
import { HandshakeError } from "../errors.ts";
import { ownTurn } from "../flow/turn_line.ts";
import { Refusal } from "../handshake/refusal.ts";
import type { RequestHead } from "../handshake/request_head.ts";
import { readUpgrade } from "../handshake/server_handshake.ts";
import { PrefixedTransport } from "../transport/prefixed.ts";
import { TlsAcceptor, type TlsAcceptorOptions } from "../transport/tls_server.ts";
import type { Transport } from "../transport/transport.ts";
import { concat, NOTHING } from "../util/bytes.ts";
import { callForeign } from "../util/foreign.ts";
import { Interval } from "../util/interval.ts";
import { closeQuietly } from "../transport/stream_io.ts";
import { CallbackTimer } from "../util/timers.ts";
import { MemberList } from "../util/member_list.ts";
import { AcceptBackoff } from "./accept_backoff.ts";
import { AddressLimit } from "./address_limit.ts";
import type { SocketListener, SocketTransport } from "../transport/sockets.ts";
import { bind } from "./bind.ts";
import { evictOldest } from "./handshake_limit.ts";
import { LINGER } from "../transport/linger.ts";
import type { Visit } from "./http/http_connection.ts";
import { HttpServer } from "./http/http_server.ts";
import type { Http2Connection, Http2Upgrade } from "./http2/http2_connection.ts";
import { Http2Server } from "./http2/http2_server.ts";
import type { AnyListenOptions, ListenSettings } from "./listen_options.ts";
import type { PeerInfo } from "./peer_info.ts";
import {
  type Course,
  NOTHING_TO_RELEASE,
  PendingHandshake,
  type RawSocket,
} from "./pending_handshake.ts";
import type { ProxyProtocol } from "./proxy_protocol.ts";
import { type OfferHost, UpgradeOffer } from "./upgrade_offer.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";

/** A handshake that never became a connection. */
type Refused = Pick<PendingHandshake<unknown>, "info" | "fields" | "since">;

// Handshakes that may begin in one turn of the event loop.
const ACCEPTED_AT_ONCE = 16;
const TOO_MANY = "Too many connections from this address";

/** The callbacks that `on` replaces: those of the listener, and those of later connections. */
export interface AcceptorHandlers<Data> {
  settings: ListenSettings<Data>;
  handlers: Handlers;
}

/** A listening socket. Accepted sockets go through stages until they are connections or served as ordinary HTTP. */
export class Acceptor<Data> implements Entrance {
  /** Resolves when nothing is accepted any more, and everything that was accepted has ended. */
  readonly finished: Promise<void>;
  readonly registry: Registry;
  readonly addr: Deno.Addr;
  /** Whether this acceptor does TLS. */
  readonly secure: boolean;
  readonly #socket: SocketListener;
  readonly #tls: TlsAcceptor | null;
  /** Serves ordinary HTTP; `null` without a handler. */
  readonly #http: HttpServer | null;
  /** Serves HTTP/2; `null` without the option `http2`. */
  readonly #http2: Http2Server | null;
  readonly #offers: OfferHost;
  /** Counts connections by address; `null` if there is no limit. */
  readonly #addresses: AddressLimit | null;
  readonly #face: ListenerHandle<Data>;
  readonly #data: Data;
  readonly #pending = new MemberList<PendingHandshake<Data>>();
  readonly #backoff = new AcceptBackoff();
  readonly #acceptTimer = new CallbackTimer(() => this.#endAccepting());
  readonly #finish: () => void;
  #settings: ListenSettings<Data>;
  #handlers: Handlers;
  #closed = false;
  #accepting = true;
  /** Handshakes whose 101 is being written. */
  #opening = 0;
  #whenServed: (() => void)[] = [];
  #interval: Interval | null = null;
  #prepared: Promise<void> | null | undefined = undefined;

  /**
   * Binds, and begins to accept.
   *
   * @param parent The registry of the context, with the connections of all listeners.
   * @param face The public object, for its callbacks.
   */
  constructor(
    parent: Registry,
    face: ListenerHandle<Data>,
    options: AnyListenOptions<Data>,
    { settings, handlers }: AcceptorHandlers<Data>,
  ) {
    this.#face = face;
    this.#settings = settings;
    this.#handlers = handlers;
    this.#data = options.data as Data;
    const protocols = settings.http2 ? ["h2", "http/1.1"] : ["http/1.1"];
    this.#tls = options.tls === undefined ? null : new TlsAcceptor(options.tls, protocols);
    this.secure = this.#tls !== null;
    const { handler, maxConnectionsPerAddress: most } = settings;
    this.#addresses = most === Infinity ? null : new AddressLimit(most);
    const host = {
      limits: settings,
      timers: parent.timers,
      refused: (error: unknown, info: PeerInfo) => this.#report(error, info),
      visit: settings.proxies === null
        ? null
        : (head: RequestHead, info: PeerInfo) => this.#visit(head, info),
      makeOffer: settings.upgrades === "listener"
        ? null
        : (head: RequestHead, info: PeerInfo) => this.#offer(head, info),
    };
    this.#http = handler === undefined ? null : new HttpServer({ ...host, handler });
    this.#http2 = !settings.http2 ? null : new Http2Server({
      ...host,
      handler,
      upgrade: (upgrade) => this.#serveStream(upgrade),
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.finished = promise;
    this.#finish = () => {
      this.registry.leave();
      resolve();
    };
    // Binding may throw and must leave nothing open then, so it comes after all checks, and before the registry.
    this.#socket = bind(options, this.#tls);
    this.addr = this.#socket.addr;
    this.registry = new Registry(parent.timers, parent, () => this.#checkFinished());
    this.registry.listener = face as ListenerHandle;
    this.#offers = {
      context: parent,
      registry: this.registry,
      options: options as ConnectionOptions,
      refused: (error, offer) => {
        this.#tellObservers(error, offer);
        this.#report(error, offer.info);
      },
    };
    this.registry.subscriptions = settings;
    this.#tick();
    this.#accept();
  }

  /** Whether nothing is accepted any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** The number of handshakes in progress. */
  get handshakes(): number {
    return this.#pending.size;
  }

  /** Replaces callbacks; handshakes in progress keep the earlier ones. */
  on({ settings, handlers }: AcceptorHandlers<Data>): void {
    this.#settings = settings;
    this.#handlers = handlers;
    this.registry.subscriptions = settings;
    this.#tick();
  }

  /** Replaces certificates, for later handshakes. */
  setTls(tls: TlsAcceptorOptions): void {
    if (this.#tls === null) {
      throw new TypeError("Cannot set TLS on a listener that was made without tls");
    }
    this.#tls.replace(tls);
  }

  ref(): void {
    this.#socket.ref();
    this.#backoff.ref(true);
  }

  unref(): void {
    this.#socket.unref();
    this.#backoff.ref(false);
  }

  #tick(): void {
    if (this.#interval !== null || this.#closed || this.#settings.onTick === undefined) return;
    const { tickInterval } = this.#settings;
    this.#interval = new Interval(
      this.registry.timers,
      tickInterval,
      () => this.#settings.onTick?.(this.#face),
    );
  }

  // ---- The stages -------------------------------------------------------------------------------------------------

  async #accept(): Promise<void> {
    for (let count = 1; !this.#closed; count++) {
      let raw: SocketTransport | null = null;
      try {
        // The accepted ones get their turn before more are accepted.
        if (count % ACCEPTED_AT_ONCE === 0) await ownTurn();
        raw = await this.#socket.accept();
        if (!this.#accepting) return closeQuietly(raw);
        const { remoteAddr, localAddr } = raw;
        const handshake = this.#begin(raw, { remoteAddr, localAddr });
        this.#backoff.succeeded();
        handshake.pass(this.#course);
      } catch (error) {
        if (raw !== null) closeQuietly(raw);
        // A given listener may have been closed by its owner.
        else if (error instanceof Deno.errors.BadResource) this.close();
        if (this.#closed) break;
        await this.#backoff.failed(error);
      }
    }
    this.#endAccepting();
  }

  #endAccepting(): void {
    this.registry.timers.clear(this.#acceptTimer);
    this.#accepting = false;
    this.#checkFinished();
  }

  /** The course of an accepted socket. */
  readonly #course: Course<Data> = {
    stages: [
      (handshake) => {
        handshake.raw.setNoDelay?.(true);
      },
      (handshake) => this.#admit(handshake),
      (handshake) => this.#readProxyHead(handshake),
      (handshake) => this.#count(handshake),
      (handshake) => this.#encrypt(handshake),
      (handshake) => handshake.readHead(),
      (handshake) => this.#serveHttp2(handshake),
      (handshake) => this.#serveHttp(handshake),
      (handshake) => this.#identify(handshake),
      (handshake) => handshake.decide(),
      (handshake) => this.#accepts(handshake),
      (handshake) => this.#open(handshake),
    ],
    failed: (handshake, reason) => this.#failed(handshake, reason),
    over: (handshake) => this.#over(handshake),
  };

  /** Passes an HTTP/2 stream that requests a WebSocket through the remaining stages. */
  #serveStream(upgrade: Http2Upgrade): void {
    const { connection } = upgrade;
    const handshake = this.#begin(upgrade.transport, connection.info);
    handshake.secure = connection.secure;
    handshake.pass({
      ...this.#course,
      stages: [
        () => handshake.resume(upgrade),
        () => this.#admit(handshake),
        () => this.#countStream(handshake, connection),
        ...this.#course.stages.slice(-4),
      ],
    });
  }

  #failed(handshake: PendingHandshake<Data>, reason: unknown): void {
    if (handshake.accepted) this.#opening--;
    handshake.offer?.failed(reason);
    this.#tellObservers(reason, handshake);
    this.#report(reason, handshake.info);
  }

  #over(handshake: PendingHandshake<Data>): void {
    this.#pending.delete(handshake);
    handshake.takeRelease()();
    this.#checkFinished();
  }

  /** Adds a handshake; its deadline begins. */
  #begin(raw: RawSocket, info: PeerInfo): PendingHandshake<Data> {
    const settings = this.#settings;
    // Checked before this handshake is added, so that it can't evict itself.
    const hasRoom = evictOldest(this.#pending, settings.maxHandshakes);
    const handshake = new PendingHandshake(raw, info, settings, this.registry.timers);
    handshake.hasRoom = hasRoom;
    this.#pending.add(handshake);
    return handshake;
  }

  /** Turns a handshake away if there was no room for it. */
  #admit(handshake: PendingHandshake<Data>): void {
    if (!handshake.hasRoom) handshake.turnAway(null, "Too many handshakes");
  }

  /** Reads the client's address from a load balancer. Other peers are closed without an answer in an unknown protocol. */
  #readProxyHead(handshake: PendingHandshake<Data>): Promise<void> | void {
    const { proxyProtocol } = this.#settings;
    if (proxyProtocol === null || !proxyProtocol.expectsHead(handshake.info.remoteAddr)) return;
    if ("handshake" in handshake.raw) {
      throw new TypeError(
        "Cannot read a PROXY head from a listener that does TLS by itself: use the option tls",
      );
    }
    return this.#takeProxyHead(handshake, proxyProtocol);
  }

  async #takeProxyHead(
    handshake: PendingHandshake<Data>,
    proxyProtocol: ProxyProtocol,
  ): Promise<void> {
    const { info } = handshake;
    const { client, early } = await proxyProtocol.read(handshake.raw, info.remoteAddr);
    handshake.info = { ...info, remoteAddr: client };
    handshake.early = early;
  }

  /** Counts a connection by its address. One too many is turned away, with an answer if TLS isn't expected. */
  #count(handshake: PendingHandshake<Data>): void {
    const { raw, info: { remoteAddr } } = handshake;
    // A trusted proxy isn't counted, but its clients are, as soon as they are known.
    if (this.#addresses === null || this.#settings.proxies?.has(remoteAddr)) return;
    const release = this.#addresses.take(remoteAddr);
    if (release === null) {
      const inClear = this.#tls === null && !("handshake" in raw);
      handshake.turnAway(inClear ? raw : null, TOO_MANY);
    }
    handshake.onRelease(release);
  }

  /** Counts a WebSocket for its HTTP/2 connection, and every one after the first for the address, too. */
  #countStream(handshake: PendingHandshake<Data>, connection: Http2Connection): void {
    const { remoteAddr } = connection.info, { places } = connection;
    connection.sockets++;
    handshake.onRelease(() => {
      connection.sockets--;
      if (places.length > Math.max(0, connection.sockets - 1)) places.pop()!();
    });
    if (this.#addresses === null || this.#settings.proxies?.has(remoteAddr)) return;
    if (connection.sockets <= places.length + 1) return;
    const place = this.#addresses.take(remoteAddr);
    if (place === null) throw new Refusal(503, TOO_MANY);
    places.push(place);
  }

  /** Finds the client of a request that came through a trusted proxy, and counts its address. */
  #identify(handshake: PendingHandshake<Data>): void {
    const visit = this.#visit(handshake.request, handshake.info);
    if (visit === null) return;
    handshake.info = visit.info;
    if (visit.refusal !== null) throw visit.refusal;
    handshake.onRelease(visit.leave);
  }

  /** Returns the client of a request, counted until it leaves; `null` if the client has connected without a proxy. */
  #visit({ fields }: RequestHead, info: PeerInfo): Visit | null {
    const { proxies } = this.#settings;
    if (proxies === null || !proxies.has(info.remoteAddr)) return null;
    const remoteAddr = proxies.clientOf(fields, info.remoteAddr);
    const leave = this.#addresses === null ? NOTHING_TO_RELEASE : this.#addresses.take(remoteAddr);
    return {
      info: { ...info, remoteAddr },
      refusal: leave === null ? new Refusal(503, TOO_MANY) : null,
      leave: leave ?? NOTHING_TO_RELEASE,
    };
  }

  #encrypt(handshake: PendingHandshake<Data>): Promise<void> | void {
    const { raw } = handshake;
    if (this.#tls !== null) return this.#acceptTls(handshake, this.#tls);
    // A given listener may do TLS by itself; its handshake then begins with the first read.
    this.#use(handshake, raw, "handshake" in raw);
  }

  async #acceptTls(handshake: PendingHandshake<Data>, tls: TlsAcceptor): Promise<void> {
    const { raw, early } = handshake;
    handshake.early = NOTHING;
    const below = early.length === 0 ? raw : new PrefixedTransport(early, raw);
    this.#use(handshake, await tls.accept(below), true);
  }

  #use(handshake: PendingHandshake<Data>, transport: Transport, secure: boolean): void {
    const { peerCertificate } = transport;
    if (peerCertificate !== undefined) handshake.info = { ...handshake.info, peerCertificate };
    handshake.use(transport, secure);
  }

  /** Serves a connection that speaks HTTP/2; each of its WebSockets comes back by `#serveStream`. */
  #serveHttp2(handshake: PendingHandshake<Data>): Promise<boolean> | boolean {
    return !handshake.isHttp2 || this.#handToHttp2(handshake);
  }

  async #handToHttp2(handshake: PendingHandshake<Data>): Promise<boolean> {
    this.#checkRoom();
    handshake.leave();
    this.#pending.delete(handshake);
    const { transport, secure, info, text, early } = handshake;
    const preface = concat([encodeUtf8(text), early]);
    await this.#http2!.serve(new PrefixedTransport(preface, transport), secure, info);
    return false;
  }

  /** Serves ordinary requests, if there is a handler, until one requests a WebSocket. */
  #serveHttp(handshake: PendingHandshake<Data>): Promise<boolean> | boolean {
    return !handshake.isForHandler || this.#handToHttp(handshake);
  }

  async #handToHttp(handshake: PendingHandshake<Data>): Promise<boolean> {
    this.#checkRoom();
    handshake.leave();
    this.#pending.delete(handshake);
    const { transport, secure, info, request, text, early } = handshake;
    const upgrade = await this.#http!.serve(transport, secure, info, request, text, early);
    if (upgrade === null) return false;
    this.#pending.add(handshake);
    handshake.resume(upgrade);
    if (this.#closed) throw new Refusal(503, "The server is shutting down");
    return true;
  }

  /** Writes the 101, if there is room for one more connection. */
  #accepts(handshake: PendingHandshake<Data>): Promise<void> {
    this.#checkRoom();
    this.#opening++;
    return handshake.accept();
  }

  /** Makes the handshake a connection. */
  #open(handshake: PendingHandshake<Data>): void {
    const { decision: { result, data }, info: { remoteAddr }, transport, early } = handshake;
    const engine = handshake.offer?.engine ?? this.#makeEngine(handshake, data);
    if (remoteAddr !== transport.remoteAddr) engine.peer = remoteAddr;
    this.#pending.delete(handshake);
    handshake.leave();
    engine.open(transport, result, early);
    this.#opening--;
    const release = handshake.takeRelease();
    if (release !== NOTHING_TO_RELEASE) engine.closed().then(release);
  }

  /** Makes a connection with the options of the listener. */
  #makeEngine({ since }: PendingHandshake<Data>, data: Data | undefined): Engine {
    const { registry } = this, { connection } = this.#settings;
    const engine = new Engine(registry, "server", connection, this.#handlers);
    engine.since = since;
    makeConnection(engine, {
      url: "",
      home: registry,
      data: data === undefined ? this.#data : data,
    });
    return engine;
  }

  /** Offers a request for a WebSocket to the handler. */
  #offer(head: RequestHead, info: PeerInfo): UpgradeOffer {
    return new UpgradeOffer(this.#offers, info, head.fields, readUpgrade(head).key);
  }

  /** Refuses a connection too many. An HTTP/2 connection counts as long as it has no WebSocket, handshakes included. */
  #checkRoom(): void {
    const size = this.registry.size + this.#opening + (this.#http?.size ?? 0) +
      (this.#http2?.withoutSocket ?? 0);
    if (size >= this.#settings.maxConnections) throw new Refusal(503, "Too many connections");
  }

  #report(error: unknown, info: PeerInfo): void {
    const { onHandshakeError } = this.#settings;
    // The result isn't awaited, since it may never settle.
    if (onHandshakeError !== undefined) {
      callForeign(() => onHandshakeError(error, info), reportHandshakeError);
    } else if (error instanceof HandshakeError && error.status === 500 && error.cause) {
      // The peer doesn't see the error, so the application has to.
      console.error("A callback of a WebSocket handshake failed:", error.cause);
    }
  }

  #tellObservers(error: unknown, { info, fields, since }: Refused): void {
    const { observers } = this.registry;
    if (!observers.any) return;
    observers.notify((observer) => observer.refused({ error, info, fields }, since));
  }

  // ---- The end ----------------------------------------------------------------------------------------------------

  /** Stops accepting; accepted connections continue. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#interval?.stop();
    callForeign(() => this.#socket.close(), () => {});
    // Closing ends the pending accept, except perhaps that of a foreign listener.
    if (this.#accepting) this.registry.timers.set(this.#acceptTimer, LINGER);
    this.#backoff.end();
    this.#http?.close();
    this.#http2?.close();
    this.#checkFinished();
  }

  prepare(): Promise<void> | null {
    if (this.#prepared !== undefined) return this.#prepared;
    this.#prepared = null;
    this.close();
    for (const handshake of this.#pending) {
      // A handshake whose 101 is being written becomes a connection, and is closed as one.
      if (!handshake.accepted) handshake.abort(503, new Error("The server is shutting down"));
    }
    const { onShutdown } = this.#settings;
    if (onShutdown === undefined) return null;
    return this.#prepared = callForeign(() => onShutdown(this.#face), reportShutdown);
  }

  served(): Promise<void> {
    if (this.#isServed) return Promise.resolve();
    return new Promise((resolve) => this.#whenServed.push(resolve));
  }

  terminate(): number {
    for (const handshake of this.#pending) handshake.evict();
    return (this.#http?.terminate() ?? 0) + (this.#http2?.terminate() ?? 0);
  }

  get #isServed(): boolean {
    const { size } = this.registry;
    return this.#opening + size + (this.#http?.size ?? 0) + (this.#http2?.size ?? 0) === 0;
  }

  #checkFinished(): void {
    if (!this.#closed || !this.#isServed) return;
    for (const resolve of this.#whenServed.splice(0)) resolve();
    if (!this.#accepting && this.#pending.size === 0) this.#finish();
  }
}

function reportHandshakeError(error: unknown): void {
  console.error("An onHandshakeError callback failed:", error);
}

function reportShutdown(error: unknown): void {
  console.error("An onShutdown callback failed:", error);
}
