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
 * With what a handshake is accepted.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export interface HandshakeAcceptance<Data = unknown> {
  /** Headers for the 101, after those of the listener. */
  headers?: HeadersOption;
  /** The subprotocol, one of those offered; `""` for none. Default: what `protocols` or `selectProtocol` chose. */
  protocol?: string;
  /** Extensions of the application itself, as they are in the header. */
  extensions?: string | readonly (string | Extension)[];
  /** The connection's `data`. */
  data?: Data;
}

/**
 * The answers that accept a handshake and leave it to the option `data` what the connection's `data` are.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export interface HandshakeAcceptanceWithoutData<Data = unknown> {
  /** Named by the type `undefined`, since these answers are sound only if `data` may be that. */
  undefined: true | void | undefined | null | HandshakeAcceptance<Data>;
}

/**
 * Accept (`true`, nothing, or an answer) or refuse (`false`: 403, or just that response). If `Data` excludes `undefined`,
 * an answer that accepts has to give `data`; `HandshakeDecision<Data | undefined>` needn't, and goes with the option `data`.
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
 * The type of the `data` that decisions give; `Own` is that of the option, for those that give none.
 *
 * @see {@linkcode Context}
 */
export type DataOfDecision<Decision, Own> = [DataOfEach<Decision, Own>] extends [never] ? unknown
  : DataOfEach<Decision, Own>;

/**
 * The same of each decision by itself; `never` of those that refuse.
 *
 * @see {@linkcode Context}
 */
export type DataOfEach<Decision, Own> = Decision extends false | Response ? never
  : Decision extends { data: infer Data }
    ? (undefined extends Data ? Exclude<Data, undefined> | Own : Data)
  : Own;

/**
 * The callbacks of a listener, by its type; those of its connections included.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export interface ListenerHandlersOf<
  Data,
  Listening = ListenerHandle<Data>,
  Decision = HandshakeDecision<Data>,
> extends ConnectionHandlers<Data> {
  /** Decides about each handshake. One that throws refuses with 500 and shows nothing of the error. */
  onHandshake?(request: Request, info: PeerInfo): Decision | PromiseLike<Decision>;
  /**
   * A handshake that never became a connection: bad TLS, a bad head, a timeout, a refusal. Without a `handler` ordinary
   * HTTP requests are among them, with a `HandshakeError` whose `isUpgrade` is false. Nothing waits for it.
   */
  onHandshakeError?(error: unknown, info: PeerInfo): unknown;
  /**
   * Called every `tickInterval` until the listener closes; if it returns a promise, the next call waits for it.
   *
   * @experimental It may change in a minor release.
   */
  onTick?(listener: Listening): unknown;
  /**
   * The listener shuts down: no connection is accepted any more, and those there are can still be used. If it returns
   * a promise, they are closed when it has settled, or at the timeout of the shutdown.
   */
  onShutdown?(listener: Listening): unknown;
  /**
   * A connection has subscribed to a topic, or no longer has: by itself, or since it has ended, in which case this is
   * called once per topic, after `onClose`. The counts are those of this process.
   *
   * @param count How many of the context's connections have subscribed now.
   * @param previous How many had before.
   */
  onSubscription?(conn: Connection<Data>, topic: string, count: number, previous: number): unknown;
}

/**
 * Options of `listen`, by the type of the listener.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export interface ListenOptionsOf<
  Data,
  Listening = ListenerHandle<Data>,
  Decision = HandshakeDecision<Data>,
> extends ConnectionOptions<Data>, ListenerHandlersOf<Data, Listening, Decision> {
  /**
   * The port; 0 for any that is free.
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
  /** A Unix socket to listen on, in place of port and hostname. A file that a dead process has left is replaced. */
  unix?: string;
  /**
   * A listener of Deno's that is bound already (TCP, TLS or Unix), in place of `port` and `hostname`. It is ours from
   * here on, and closed with ours.
   */
  listener?: Deno.Listener | Deno.TlsListener | Deno.UnixListener;
  /** Certificate and key, PEM text; with `clientCaCerts` every client must show a certificate of those authorities. */
  tls?: TlsAcceptorOptions;
  /**
   * Speaks HTTP/2 as well (RFC 8441): with `tls` it is offered by ALPN beside HTTP/1.1, without it a client's first bytes
   * decide. A WebSocket is then one stream of a connection, beside others and beside ordinary requests.
   *
   * @default {false}
   */
  http2?: boolean;
  /**
   * Lets several processes or workers listen on the same port; needs `--unstable-net`.
   *
   * @default {false}
   */
  reusePort?: boolean;
  /**
   * What makes the sockets. Default: Deno's own.
   *
   * @experimental It may change in a minor release.
   */
  sockets?: Sockets;
  /**
   * How many connections the kernel completes ahead of their being accepted; Linux takes no more than its `somaxconn`.
   * Not for Unix sockets.
   *
   * @default {4096}
   */
  backlog?: number;
  /** Subprotocols that are spoken, the preferred first. With nothing in common the connection has none. */
  protocols?: readonly string[];
  /** Chooses among the offered subprotocols instead; `""` or nothing for none. */
  selectProtocol?: (
    offered: string[],
    request: Request,
  ) => string | undefined | PromiseLike<string | undefined>;
  /**
   * Proxies that are believed when they say where a request comes from: their networks in CIDR notation, with
   * `"unix"` for those that come by a Unix socket; or `{ from, header }` for the header `Forwarded` in place of
   * `X-Forwarded-For`. The list in the header is read from the right, as long as the addresses are trusted ones; the
   * first other one is the client. `remoteAddress`, `info` and the limits for an address follow; `request.url` doesn't.
   * Default: no proxy is believed.
   */
  trustProxy?: readonly string[] | TrustProxyOptions;
  /**
   * Load balancers that speak the PROXY protocol, version 1 or 2, before anything else, TLS included. `remoteAddress`,
   * `info` and the limits for an address follow, and `trustProxy` judges the address that it gives. Default: none.
   */
  proxyProtocol?: ProxyProtocolOptions;
  /** Headers for every 101. */
  headers?: HeadersOption;
  /** Origins that are accepted; a request without `Origin` passes, `"null"` only if listed. Default: all. */
  origins?: OriginRule;
  /**
   * More connections are refused with 503; those that serve ordinary HTTP count, and over HTTP/2 those without a
   * WebSocket, beside each WebSocket; 0 for no limit.
   *
   * @default {0}
   */
  maxConnections?: number;
  /**
   * More connections from one address are refused with 503: handshakes, ordinary HTTP and WebSockets together, and of
   * IPv6 a whole /64 counts as one. Behind a reverse proxy all come from the proxy, unless `trustProxy` or
   * `proxyProtocol` names the client. 0 for no limit.
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
   * From the accepted socket to the 101, or to the head of an ordinary request, in ms; 0 for ever.
   *
   * @default {10000}
   */
  handshakeTimeout?: number;
  /**
   * How long a connection that carries ordinary HTTP may wait for its client, in ms; 0 for ever: for the head of the next
   * request, for more of a body, or until it takes more of an answer. The `handler` may take its time.
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
   * How many header fields a request may have. 0 for no limit but that of every server, which is 1,024: with more, the
   * platform's `Headers` would take too long.
   *
   * @default {128}
   */
  maxHeaderFields?: number;
  /** Answers ordinary HTTP requests on the same port, as the handler of a `Deno.serve` would; without it they get 426. */
  handler?: HttpHandler;
  /**
   * Who decides about requests to upgrade: the listener, by its own options and `onHandshake`, or the `handler`, which
   * gets them too and calls `ctx.upgrade`. What it answers otherwise, a redirect or a 401 say, reaches the client.
   *
   * @default {"listener"}
   */
  upgrades?: "listener" | "handler";
  /**
   * How many topics a connection may subscribe to; 0 for any number.
   *
   * @default {1000}
   */
  maxTopics?: number;
  /**
   * From one `onTick` to the next, in ms; 0 for none.
   *
   * @experimental It may change in a minor release.
   * @default {1000}
   */
  tickInterval?: number;
}

/** Options of `listen`, whatever `onHandshake` answers. */
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
  /** What it answers is looked at when it has. */
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

/** The names of the callbacks that a listener has in addition to those of its connections. */
export const LISTENER_HANDLERS = [
  "onHandshake",
  "onHandshakeError",
  "onTick",
  "onShutdown",
  "onSubscription",
] as const;

/** Checks the options of `listen`, except where to listen. */
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

/** Checks who decides about upgrades: one, who is there. */
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
