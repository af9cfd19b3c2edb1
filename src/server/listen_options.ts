import { checkExtensions, type Extension } from "../handshake/extension_list.ts";
import { MAX_FIELDS, MOST_FIELDS } from "../handshake/fields.ts";
import { checkHeaders, type Field, type HeadersOption } from "../handshake/headers_option.ts";
import { checkOriginRule, type OriginRule } from "../handshake/origin.ts";
import { checkProtocol, checkProtocols } from "../handshake/token_list.ts";
import { ProxyProtocol, type ProxyProtocolOptions } from "./proxy_protocol.ts";
import { TrustedProxies, type TrustProxyOptions } from "./trusted_proxies.ts";
import type { HttpHandler, PeerInfo } from "./peer_info.ts";
import type { ConnectionOptions } from "../connection_options.ts";
import type { Connection, ConnectionHandlers, ListenerHandle } from "../connection.ts";
import { HANDLERS } from "../engine/handlers.ts";
import type { Settings } from "../engine/settings.ts";
import { resolveSettings } from "../connection_options.ts";
import { MAX_TOPICS } from "../pubsub/topics.ts";
import { checkHandlers, choice, flag, limit, timeLimit } from "../util/check.ts";
import type { Sockets } from "../transport/sockets.ts";
import type { TlsAcceptorOptions } from "../transport/tls_server.ts";

/**
 * Details of an accepted handshake.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export interface HandshakeAcceptance<Data = unknown> {
  /** Headers for the 101, after those of the listener. */
  headers?: HeadersOption;
  /** The subprotocol, one of those offered; `""` for none. Default: the choice of `protocols` or `selectProtocol`. */
  protocol?: string;
  /** Extensions that the application implements itself, as in the header. */
  extensions?: string | readonly (string | Extension)[];
  /** The `data` of the connection. */
  data?: Data;
}

/**
 * The answers that accept a handshake without `data`, so that the option `data` applies.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export interface HandshakeAcceptanceWithoutData<Data = unknown> {
  /** The key is the type `undefined`, since these answers are sound only if `data` may be `undefined`. */
  undefined: true | void | undefined | null | HandshakeAcceptance<Data>;
}

/**
 * Accepts (`true`, nothing, or a `HandshakeAcceptance`) or refuses (`false` for 403, or a `Response`). If `Data` excludes
 * `undefined`, an answer that accepts has to give `data`; with `HandshakeDecision<Data | undefined>` it needn't, and the
 * option `data` applies.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export type HandshakeDecision<Data = unknown> =
  | false
  | Response
  | (HandshakeAcceptance<Data> & { data: Data })
  // An index, and no conditional type, by which a `Listener<User>` would be no `Listener`.
  | HandshakeAcceptanceWithoutData<Data>[`${Data & undefined}`];

/**
 * The type of `data` that results from decisions; `Own` is that of the option, for decisions that give none.
 *
 * @see {@linkcode Context}
 */
export type DataOfDecision<Decision, Own> = [DataOfEach<Decision, Own>] extends [never] ? unknown
  : DataOfEach<Decision, Own>;

/**
 * The same for a single decision; `never` for one that refuses.
 *
 * @see {@linkcode Context}
 */
export type DataOfEach<Decision, Own> = Decision extends false | Response ? never
  : Decision extends { data: infer Data }
    ? (undefined extends Data ? Exclude<Data, undefined> | Own : Data)
  : Own;

/**
 * The callbacks of a listener and of its connections.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export interface ListenerHandlersOf<
  Data,
  Listening = ListenerHandle<Data>,
  Decision = HandshakeDecision<Data>,
> extends ConnectionHandlers<Data> {
  /** Decides about each handshake. If it throws, the handshake is refused with 500, without details of the error. */
  onHandshake?(request: Request, info: PeerInfo): Decision | PromiseLike<Decision>;
  /**
   * A handshake has failed: bad TLS, a bad head, a timeout, or a refusal. Without a `handler` it is also called for ordinary
   * HTTP requests, with a `HandshakeError` whose `isUpgrade` is false. Its promise isn't awaited.
   */
  onHandshakeError?(error: unknown, info: PeerInfo): unknown;
  /**
   * Called every `tickInterval` until the listener closes; if it returns a promise, the next call waits for it.
   *
   * @experimental It may change in a minor release.
   */
  onTick?(listener: Listening): unknown;
  /**
   * The listener shuts down. No connection is accepted any more, but existing ones can still be used. If the callback
   * returns a promise, they are closed when it has settled, or at the timeout of the shutdown.
   */
  onShutdown?(listener: Listening): unknown;
  /**
   * A connection has subscribed to a topic, or unsubscribed. When a connection ends this is called once for each of its
   * topics, after `onClose`. The counts are those of this process.
   *
   * @param count The number of the context's connections that are subscribed now.
   * @param previous The number before.
   */
  onSubscription?(conn: Connection<Data>, topic: string, count: number, previous: number): unknown;
}

/**
 * Options of `listen`.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export interface ListenOptionsOf<
  Data,
  Listening = ListenerHandle<Data>,
  Decision = HandshakeDecision<Data>,
> extends ConnectionOptions<Data>, ListenerHandlersOf<Data, Listening, Decision> {
  /**
   * The port; 0 for any free one.
   *
   * @default {0}
   */
  port?: number;
  /**
   * The address to bind to.
   *
   * @default {"0.0.0.0"}
   */
  hostname?: string;
  /**
   * The path of a Unix socket to listen on, instead of a port. The file of a process that has ended is replaced; if there is
   * a file, `listen` blocks the thread while it checks that.
   */
  unix?: string;
  /**
   * A listener of Deno (TCP, TLS or Unix), instead of `port` and `hostname`. The library takes it over and closes it.
   */
  listener?: Deno.Listener | Deno.TlsListener | Deno.UnixListener;
  /** Certificate and key as PEM text. With `clientCaCerts` every client must show a certificate of these authorities. */
  tls?: TlsAcceptorOptions;
  /**
   * Whether to speak HTTP/2 as well (RFC 8441). With `tls` ALPN offers both versions; without it the client's first bytes
   * decide. A WebSocket is then one stream of a connection, next to others and to ordinary requests.
   *
   * @default {false}
   */
  http2?: boolean;
  /**
   * Whether several processes or workers may listen on the same port; needs `--unstable-net`.
   *
   * @default {false}
   */
  reusePort?: boolean;
  /**
   * The implementation of sockets. Default: Deno's own.
   *
   * @experimental It may change in a minor release.
   */
  sockets?: Sockets;
  /**
   * The number of connections that the kernel completes before they are accepted. Linux limits it to `somaxconn`. Deno's own
   * Unix sockets ignore it.
   *
   * @default {4096}
   */
  backlog?: number;
  /** The supported subprotocols, in order of preference. If the client offers none of them, the connection has none. */
  protocols?: readonly string[];
  /** Chooses one of the offered subprotocols, instead of `protocols`; returns `""` or nothing for none. */
  selectProtocol?: (
    offered: string[],
    request: Request,
  ) => string | undefined | PromiseLike<string | undefined>;
  /**
   * Trusted proxies, whose header names the client: their networks in CIDR notation, and `"unix"` for those that connect
   * to a Unix socket. Use `{ from, header }` for the header `Forwarded` instead of `X-Forwarded-For`. The list in the
   * header is read from the right; the first address that isn't trusted is the client. It sets `remoteAddress` and `info`,
   * and the limits per address apply to it; `request.url` is unchanged. Default: no proxy is trusted.
   */
  trustProxy?: readonly string[] | TrustProxyOptions;
  /**
   * Load balancers that send a head of the PROXY protocol, version 1 or 2, before everything else, TLS included. The
   * address in it sets `remoteAddress` and `info`, the limits per address apply to it, and `trustProxy` is checked against
   * it. Default: none.
   */
  proxyProtocol?: ProxyProtocolOptions;
  /** Headers for every 101. */
  headers?: HeadersOption;
  /** The accepted origins. A request without `Origin` is accepted; `"null"` only if it is listed. Default: all. */
  origins?: OriginRule;
  /**
   * The most connections; 0 for no limit. Further ones are refused with 503. Each WebSocket counts, each connection that
   * carries ordinary HTTP, and each HTTP/2 connection without a WebSocket.
   *
   * @default {0}
   */
  maxConnections?: number;
  /**
   * The most connections from one address; 0 for no limit. Further ones are refused with 503. Handshakes, ordinary HTTP and
   * WebSockets all count, and an IPv6 network (/64) counts as one address. Behind a reverse proxy all connections come
   * from the proxy, unless `trustProxy` or `proxyProtocol` names the client.
   *
   * @default {0}
   */
  maxConnectionsPerAddress?: number;
  /**
   * The most handshakes in progress. Beyond it the oldest one that still waits for its client is dropped without an
   * answer; if all of them are in `onHandshake`, the newest is. 0 for no limit.
   *
   * @default {4096}
   */
  maxHandshakes?: number;
  /**
   * The longest time from the accepted socket to the 101, or to the head of an ordinary request, in ms; 0 for ever.
   *
   * @default {10000}
   */
  handshakeTimeout?: number;
  /**
   * How long a connection that carries ordinary HTTP waits for its client, in ms; 0 for ever. It applies to the head of the
   * next request, to each part of a body, and to each write of a response. The time of the `handler` isn't limited.
   *
   * @default {75000}
   */
  httpIdleTimeout?: number;
  /**
   * The largest request head, in bytes; 0 for no limit.
   *
   * @default {16384}
   */
  maxHeaderBytes?: number;
  /**
   * The most header fields of a request; 0 for the highest possible limit, which is 1,024: with more fields, the platform's
   * `Headers` would take too long.
   *
   * @default {128}
   */
  maxHeaderFields?: number;
  /** Answers ordinary HTTP requests on the same port, like the handler of `Deno.serve`. Without it they get 426. */
  handler?: HttpHandler;
  /**
   * What decides about requests to upgrade: the listener, by its own options and `onHandshake`, or the `handler`, which then
   * gets these requests, too, and calls `ctx.upgrade`. Any other response of the handler, such as a redirect or a 401, is
   * sent to the client.
   *
   * @default {"listener"}
   */
  upgrades?: "listener" | "handler";
  /**
   * The most topics that a connection may subscribe to; 0 for no limit.
   *
   * @default {1000}
   */
  maxTopics?: number;
  /**
   * The interval of `onTick` in ms; 0 for none.
   *
   * @experimental It may change in a minor release.
   * @default {1000}
   */
  tickInterval?: number;
}

/** Options of `listen` with any type of answer of `onHandshake`. */
export type AnyListenOptions<Data> = ListenOptionsOf<Data, ListenerHandle<Data>, unknown>;

/** The options of a listener, checked. */
export interface ListenSettings<Data> {
  readonly connection: Settings;
  readonly protocols: readonly string[];
  readonly selectProtocol: ListenOptionsOf<Data>["selectProtocol"];
  readonly headers: readonly Field[];
  readonly origins: OriginRule | null;
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  readonly maxHandshakes: number;
  readonly handshakeTimeout: number;
  readonly httpIdleTimeout: number;
  readonly maxHeaderBytes: number;
  readonly maxHeaderFields: number;
  /** The results of this callback are checked at run time. */
  readonly onHandshake: AnyListenOptions<Data>["onHandshake"];
  readonly onHandshakeError: ListenOptionsOf<Data>["onHandshakeError"];
  readonly tickInterval: number;
  readonly onTick: ListenOptionsOf<Data>["onTick"];
  readonly onShutdown: ListenOptionsOf<Data>["onShutdown"];
  readonly onSubscription: ListenOptionsOf<Data>["onSubscription"];
  readonly maxTopics: number;
  readonly handler: HttpHandler | undefined;
  readonly upgrades: "listener" | "handler";
  readonly http2: boolean;
  readonly proxies: TrustedProxies | null;
  readonly proxyProtocol: ProxyProtocol | null;
}

/** The names of the callbacks of a listener, without those of its connections. */
export const LISTENER_HANDLERS = [
  "onHandshake",
  "onHandshakeError",
  "onTick",
  "onShutdown",
  "onSubscription",
] as const;

/** Checks the options of `listen`, except those that say where to listen. */
export function resolveListen<Data>(
  options: AnyListenOptions<Data>,
  action: string = "listen",
): ListenSettings<Data> {
  checkHandlers(action, options, [
    ...HANDLERS,
    ...LISTENER_HANDLERS,
    "selectProtocol",
    "handler",
  ]);
  const most = (name: "maxConnections" | "maxConnectionsPerAddress") =>
    limit(action, name, options[name], Infinity);
  return {
    connection: resolveSettings(action, options as ConnectionOptions),
    protocols: checkProtocols(options.protocols),
    selectProtocol: options.selectProtocol,
    headers: checkHeaders(options.headers, "server"),
    origins: options.origins === undefined ? null : checkOriginRule(options.origins),
    maxConnections: most("maxConnections"),
    maxConnectionsPerAddress: most("maxConnectionsPerAddress"),
    maxHandshakes: limit(action, "maxHandshakes", options.maxHandshakes, 4096),
    handshakeTimeout: timeLimit(action, "handshakeTimeout", options.handshakeTimeout, 10_000),
    httpIdleTimeout: timeLimit(action, "httpIdleTimeout", options.httpIdleTimeout, 75_000),
    maxHeaderBytes: limit(action, "maxHeaderBytes", options.maxHeaderBytes, 16 * 1024),
    maxHeaderFields: Math.min(
      limit(action, "maxHeaderFields", options.maxHeaderFields, MAX_FIELDS),
      MOST_FIELDS,
    ),
    onHandshake: options.onHandshake,
    onHandshakeError: options.onHandshakeError,
    tickInterval: timeLimit(action, "tickInterval", options.tickInterval, 1000),
    onTick: options.onTick,
    onShutdown: options.onShutdown,
    onSubscription: options.onSubscription,
    maxTopics: limit(action, "maxTopics", options.maxTopics, MAX_TOPICS),
    handler: options.handler,
    upgrades: checkUpgrades(action, options),
    http2: flag(action, "http2", options.http2, false),
    proxies: options.trustProxy === undefined
      ? null
      : new TrustedProxies(action, options.trustProxy),
    proxyProtocol: options.proxyProtocol === undefined
      ? null
      : new ProxyProtocol(action, options.proxyProtocol),
  };
}

const DECIDERS = ["listener", "handler"] as const;

/** Checks the option `upgrades`, and that exactly one of the two decides. */
export function checkUpgrades(
  action: string,
  { upgrades, handler, onHandshake }: Pick<
    AnyListenOptions<unknown>,
    "upgrades" | "handler" | "onHandshake"
  >,
): "listener" | "handler" {
  const decider = choice(action, "upgrades", upgrades, DECIDERS);
  if (decider === "listener") return decider;
  if (handler === undefined) {
    throw new TypeError(`Cannot ${action} with upgrades "handler" and without handler: give one`);
  }
  if (onHandshake !== undefined) {
    throw new TypeError(
      `Cannot ${action} with upgrades "handler" and onHandshake: the handler decides, by ctx.upgrade`,
    );
  }
  return decider;
}

/** Checks an answer of `onHandshake`. */
export function resolveAnswer(
  answer: HandshakeAcceptance,
  offered: readonly string[],
  offeredExtensions: readonly Extension[],
): {
  headers: Field[];
  protocol: string | undefined;
  extensions: Extension[];
} {
  const { protocol, extensions } = answer;
  if (protocol !== undefined && protocol !== "" && !offered.includes(checkProtocol(protocol))) {
    throw new TypeError(`Cannot accept with subprotocol ${protocol}, which wasn't offered`);
  }
  const agreed = checkExtensions(typeof extensions === "string" ? [extensions] : extensions);
  for (const { name } of agreed) {
    // A client fails a connection with an extension that it didn't ask for (RFC 6455 4.1).
    if (!offeredExtensions.some((offer) => offer.name === name)) {
      throw new TypeError(`Cannot accept with extension ${name}, which wasn't offered`);
    }
  }
  return { protocol, headers: checkHeaders(answer.headers, "server"), extensions: agreed };
}
