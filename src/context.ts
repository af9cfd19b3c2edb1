import { adopt, adoptOnTerms, type OpenFacts, type OpenTerms } from "./adopt/adopt.ts";
import type { AdoptArguments, AdoptOptions } from "./adopt/adopt_options.ts";
import type { AdoptSource } from "./adopt/adopt_source.ts";
import { broadcast } from "./pubsub/broadcast.ts";
import type { Broker } from "./pubsub/broker/broker.ts";
import { BrokerClient, type BrokerReports } from "./pubsub/broker/broker_client.ts";
import type { HandshakeDecision } from "./server/listen_options.ts";
import {
  type ConnectOptions,
  type ConnectSettings,
  resolveConnect,
} from "./client/connect_options.ts";
import {
  type BroadcastOptions,
  type Connection,
  engineOf,
  makeConnection,
  type PublishOptions,
} from "./connection.ts";
import { checkHeaders, type Field } from "./handshake/headers_option.ts";
import type { Observer } from "./context/observer.ts";
import { Dial } from "./client/dial.ts";
import { SessionPool } from "./client/http2/session_pool.ts";
import { Reconnection, type ReconnectOptions } from "./client/reconnect.ts";
import { parseProxyUrl } from "./client/proxy/proxy_url.ts";
import { count } from "./engine/describe.ts";
import { Engine } from "./engine/engine.ts";
import { abortError, InvalidStateError, type Message } from "./errors.ts";
import {
  entranceOf,
  type ListenArguments,
  type Listener,
  type ListenerData,
  type ListenOptions,
  makeListener,
} from "./listener.ts";
import { HANDLERS, pickHandlers } from "./engine/handlers.ts";
import {
  type CallArguments,
  type CallData,
  type ConnectionOptions,
  mergeOptions,
  resolveSettings,
} from "./connection_options.ts";
import { checkHandlers, group } from "./util/check.ts";
import { type PreparedMessage, prepareMessage, type Sendable } from "./engine/prepared_message.ts";
import type { ShutdownResult } from "./context/closing_connections.ts";
import { type ContextStats, Registry } from "./context/registry.ts";
import { Deadline, shutDown, shutdownArguments, type ShutdownOptions } from "./context/shutdown.ts";
import { inspectable } from "./util/inspectable.ts";
import { Timers } from "./util/timers.ts";
import type { BroadcastResult, LiveSet, PublishResult } from "./pubsub/options.ts";
import { MAX_TOPICS } from "./pubsub/topics.ts";
import { type Watch, Watches } from "./context/watch.ts";
import { resolveSockets } from "./transport/deno_sockets.ts";
import type { Sockets } from "./transport/sockets.ts";
import { checkTlsClientOptions } from "./transport/tls_client.ts";
import { upgrade } from "./adopt/upgrade.ts";
import type { UpgradeOptions, UpgradeResult } from "./adopt/upgrade_options.ts";

/**
 * Options of a context: defaults for every connection.
 *
 * @see {@linkcode ConnectionOptions}
 */
export interface ContextOptions<Data = unknown> extends ConnectionOptions<Data>, BrokerReports {
  /** The broker that shares topics with other contexts. Default: none. */
  broker?: Broker;
  /** Called for changes of subscriptions, unless `listen` has an `onSubscription` of its own; see there. */
  onSubscription?(conn: Connection<Data>, topic: string, count: number, previous: number): unknown;
  /** The default TLS options of `connect`. */
  tls?: ConnectOptions["tls"];
  /** The default proxy of `connect`. */
  proxy?: ConnectOptions["proxy"];
  /**
   * The default implementation of TCP and Unix sockets for `listen` and `connect`. Default: Deno's own.
   *
   * @experimental It may change in a minor release.
   */
  sockets?: Sockets;
}

/** Adds an observer of all connections of a context; returns a function that removes it. */
export let observe: <Data>(ctx: Context<Data>, observer: Observer) => () => void;

/** Adopts a stream whose handshake was done elsewhere, with options that were checked once for many connections. */
export let adoptOpened: <Data>(
  ctx: Context,
  source: AdoptSource,
  terms: OpenTerms,
  facts: OpenFacts<Data>,
) => Connection<Data>;

/**
 * Default options for connections, all connections and listeners made with it, and their common shutdown.
 *
 * A context doesn't keep the process alive; its listeners and open connections do.
 *
 * The application chooses the type of `conn.data`. In a `Context<User>` each call has to give `data` of that type, or the
 * `onHandshake` of `listen` does. It may be left out if the context's own options give it, as in `new Context({ data })`.
 * Without a type, `listen` infers it from the answers of `onHandshake`, and other calls from their `data`.
 *
 * @example Connect
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({ hostname: "127.0.0.1", onMessage: (conn, data) => conn.send(data) });
 * const conn = ctx.connect(listener.url);
 * await conn.opened;
 * conn.send("hello");
 * for await (const message of conn) {
 *   console.log(message);
 *   break;
 * }
 * ```
 *
 * @example Typed data
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({
 *   hostname: "127.0.0.1",
 *   onHandshake: (request) => ({ data: { path: new URL(request.url).pathname } }),
 *   onMessage: (conn, text) => void conn.send(`${conn.data.path}: ${text}`),
 * });
 * const conn = ctx.connect(new URL("/news", listener.url));
 * await conn.opened;
 * conn.send("hello");
 * console.log(await conn.receive()); // "/news: hello"
 * ```
 *
 * @typeParam Data The type of `conn.data`.
 * @typeParam Default The type of the `data` that the options give to every connection; `undefined` for none.
 */
export class Context<Data = unknown, Default extends Data | undefined = undefined>
  implements AsyncDisposable {
  static {
    inspectable(Context.prototype, (ctx) => ctx.#describe());
    observe = (ctx, observer) => ctx.#registry.observers.add(observer);
    adoptOpened = (ctx, source, terms, facts) => {
      ctx.#checkAlive("adopt");
      return adoptOnTerms(ctx.#registry, source, terms, facts);
    };
  }

  readonly #options: ContextOptions;
  readonly #registry = new Registry(new Timers());
  readonly #listeners = new Set<Listener>();
  #broker: BrokerClient | null = null;
  readonly #sessions = new SessionPool();
  readonly #watches = new Watches();
  readonly #reconnections = new Set<Reconnection<unknown>>();
  #shutdown: Promise<ShutdownResult> | null = null;

  /**
   * Makes a context.
   *
   * @param options Defaults for every connection.
   * @throws {TypeError | RangeError} If an option is invalid.
   */
  constructor(
    ...args: undefined extends Default
      ? [options?: ContextOptions<Data> & { data?: Data | Default }]
      : [options: ContextOptions<Data> & { data: Default }]
  ) {
    const [options = {}] = args as [options?: ContextOptions];
    mergeOptions("make a context", {}, options);
    checkHandlers("make a context", options, [
      ...HANDLERS,
      "onBrokerGap",
      "onBrokerError",
      "onSubscription",
    ]);
    resolveSettings("make a context", options);
    checkTlsClientOptions(options.tls, "make a context");
    if (options.proxy !== undefined && options.proxy !== null) parseProxyUrl(options.proxy);
    resolveSockets("make a context", options.sockets);
    const { broker, onBrokerGap, onBrokerError, ...defaults } = options;
    this.#options = defaults;
    const { onSubscription } = defaults;
    this.#registry.subscriptions = { maxTopics: MAX_TOPICS, onSubscription };
    if (broker !== undefined) {
      const { topics } = this.#registry;
      topics.broker = this.#broker = new BrokerClient(
        broker,
        { onBrokerGap, onBrokerError },
        (topic, message) => topics.received(topic, message),
      );
    }
  }

  /**
   * Resolves when the broker is connected and has all subscriptions made so far, so that publications of other contexts
   * arrive; at once without a broker. Rejects with a `BrokerError` if the broker refuses.
   */
  get ready(): Promise<void> {
    return this.#broker === null ? Promise.resolve() : this.#broker.ready;
  }

  /** The open and closing connections, both of clients and of servers. */
  get connections(): ReadonlySet<Connection<Data>> {
    return this.#registry.connections as ReadonlySet<Connection<Data>>;
  }

  /**
   * Connects to a server. Returns at once; `opened` of the connection resolves or rejects with the outcome.
   *
   * @param url A `ws:` or `wss:` URL (or `http:` or `https:`, with the same meaning), without fragment and user info.
   * @param options Options of the connection and of the handshake.
   * @returns A connection in state `"connecting"`.
   * @throws {TypeError | RangeError} If an argument is invalid.
   *
   * @example
   * ```ts
   * import { Context } from "@sluice/websocket";
   *
   * await using ctx = new Context();
   * const listener = ctx.listen({ hostname: "127.0.0.1", onMessage: (conn, data) => conn.send(data) });
   * const conn = ctx.connect(listener.url, { headers: { Authorization: "Bearer s3cret" } });
   * const { headers } = await conn.opened; // of the server's answer
   * conn.send("hello");
   * console.log(await conn.receive(), headers.get("upgrade"));
   * ```
   */
  connect<Own = Data>(
    url: string | URL,
    ...args: CallArguments<ConnectOptions<CallData<Data, NoInfer<Own>>>, Data, Default, Own>
  ): Connection<CallData<Data, Own>> {
    const [options = {}] = args as [options?: ConnectOptions];
    return this.#connect(url, options) as Connection<CallData<Data, Own>>;
  }

  #connect(url: string | URL, options: ConnectOptions): Connection {
    this.#checkAlive("connect");
    const merged = mergeOptions("connect", this.#options, options);
    const settings = resolveConnect(url, merged);
    const engine = new Engine(
      this.#registry,
      "client",
      settings.connection,
      pickHandlers(merged),
    );
    const connection = makeConnection(engine, {
      url: settings.target.href,
      home: this.#registry,
      data: merged.data,
    });
    const dial = new Dial(engine, this.#observed(connection, settings), this.#sessions);
    this.#registry.connecting.add(engine);
    if (settings.signal?.aborted) {
      const { reason } = settings.signal;
      queueMicrotask(() =>
        engine.abandon(abortError("The attempt to connect was aborted", reason), false)
      );
    } else {
      dial.run();
    }
    return connection;
  }

  /**
   * Connects, and connects again whenever the connection has ended or couldn't be opened. The first attempt is immediate;
   * the waits before further ones grow. Leaving the loop closes the connection with 1000.
   *
   * @param url As for `connect`.
   * @param options Options of `connect`, the waits, and which errors are temporary.
   * @returns The open connections, to be iterated over once. The iteration ends with an `AbortError` if `signal` is
   * aborted, with an error that isn't temporary, and without an error when the context shuts down.
   * @throws {TypeError | RangeError} If an argument is invalid.
   *
   * @example
   * ```ts
   * import { Context } from "@sluice/websocket";
   *
   * await using ctx = new Context();
   * const listener = ctx.listen({ hostname: "127.0.0.1", onMessage: (conn, data) => void conn.send(data) });
   * for await (const conn of ctx.reconnect(listener.url, { backoff: { max: 10_000 } })) {
   *   conn.send("subscribe");
   *   console.log(await conn.receive());
   *   break;
   * }
   * ```
   */
  reconnect<Own = Data>(
    url: string | URL,
    ...args: CallArguments<ReconnectOptions<CallData<Data, NoInfer<Own>>>, Data, Default, Own>
  ): AsyncIterable<Connection<CallData<Data, Own>>> {
    const [options = {}] = args as [options?: ReconnectOptions];
    this.#checkAlive("reconnect");
    group("reconnect", "options", options, "an object");
    const { backoff: _backoff, retryable: _retryable, onRetry: _onRetry, ...connecting } = options;
    resolveConnect(
      url,
      mergeOptions("reconnect", this.#options, connecting),
      "reconnect",
    );
    const reconnection = new Reconnection(
      options,
      () => this.#connect(url, connecting),
      (reconnection, running) => {
        if (this.#shutdown !== null) reconnection.end();
        else if (running) this.#reconnections.add(reconnection);
        else this.#reconnections.delete(reconnection);
      },
    );
    return reconnection as AsyncIterable<unknown> as AsyncIterable<Connection<CallData<Data, Own>>>;
  }

  /**
   * Listens for connections. The listener is bound when this returns.
   *
   * @param options The address, options of handshakes, and options of the connections.
   * @returns The listener.
   * @throws {TypeError | RangeError} If an option is invalid.
   * @throws {Deno.errors.AddrInUse} If the port is taken.
   *
   * @example
   * ```ts
   * import { Context } from "@sluice/websocket";
   *
   * const ctx = new Context();
   * const listener = ctx.listen({
   *   hostname: "127.0.0.1",
   *   origins: ["https://example.com"],
   *   handler: (_request, { remoteAddr }) => Response.json(remoteAddr), // ordinary requests
   *   onHandshake({ headers }) {
   *     const name = headers.get("authorization");
   *     return name === null ? new Response("who?", { status: 401 }) : { data: { name } };
   *   },
   *   onMessage: (conn, text) => void conn.send(`${conn.data.name}: ${text}`),
   * });
   * console.log(`listening on ${listener.url}`);
   * ```
   */
  listen<Own = Data, Decision extends HandshakeDecision = HandshakeDecision<Own | undefined>>(
    ...args: ListenArguments<Data, Default, Own, Decision>
  ): Listener<ListenerData<Data, Own, Decision>> {
    this.#checkAlive("listen");
    const [options = {}] = args as [options?: ListenOptions];
    const { tls: _tls, proxy: _proxy, ...defaults } = this.#options;
    const listener = makeListener(
      this.#registry,
      mergeOptions("listen", defaults, options),
    );
    this.#listeners.add(listener);
    listener.finished.then(() => this.#listeners.delete(listener));
    return listener as Listener<ListenerData<Data, Own, Decision>>;
  }

  /**
   * Encodes a message once, to be sent any number of times.
   *
   * @param data The message, as for `send`.
   * @returns A message for `send`, `broadcast` and `publish`.
   * @throws {TypeError} If the data is of another type.
   */
  prepare(data: Message): PreparedMessage {
    return prepareMessage(data);
  }

  /**
   * Sends a message to all connections of servers, never to those of clients. The message is encoded once. In a connection
   * with an unfinished `sendFragment` message, it is queued after that.
   *
   * @param data The message, as for `send`.
   * @param options Connections to send to or to leave out, and the policy for slow ones.
   * @returns The numbers of receivers that got it, and that didn't.
   * @throws {TypeError} If the data or an option is invalid.
   *
   * @example
   * ```ts
   * import { Context } from "@sluice/websocket";
   *
   * await using ctx = new Context();
   * const listener = ctx.listen({ hostname: "127.0.0.1", onConnect: () => greet() });
   * function greet() {
   *   const { sent, dropped } = ctx.broadcast("hello, all", { slow: "drop" });
   *   console.log(`sent to ${sent} connections, dropped for ${dropped} slow ones`);
   * }
   * console.log(await ctx.connect(listener.url).receive());
   * ```
   */
  broadcast(data: Sendable, options: BroadcastOptions<Data> = {}): BroadcastResult {
    return broadcast(this.#registry.engines(), data, options, engineOf);
  }

  /**
   * Publishes to all connections that have subscribed to a topic, with a broker in other contexts, too. The message is in
   * all local queues when this returns, so messages arrive in the order of the calls. For many receivers it is written in
   * slices, so that timers and reads aren't delayed.
   *
   * @param topic 1 to 256 bytes of UTF-8.
   * @param data The message, as for `send`.
   * @param options Connections to leave out, and the policy for slow ones.
   * @returns The numbers of receivers in this context that got it, and that didn't. `relayed` settles when the broker has it.
   * @throws {TypeError | RangeError} If an argument is invalid.
   * @throws {BrokerError} If the broker has refused for good.
   *
   * @example
   * ```ts
   * import { Context } from "@sluice/websocket";
   *
   * await using ctx = new Context();
   * const listener = ctx.listen({
   *   hostname: "127.0.0.1",
   *   onConnect(conn) {
   *     conn.subscribe("prices");
   *     ctx.publish("prices", "1.08");
   *   },
   * });
   * console.log(await ctx.connect(listener.url).receive());
   * ```
   */
  publish(topic: string, data: Sendable, options: PublishOptions<Data> = {}): PublishResult {
    return this.#registry.topics.publish(topic, data, options, null, engineOf);
  }

  /**
   * Returns the connections of this context that have subscribed to a topic. There may be none.
   *
   * @param topic 1 to 256 bytes of UTF-8.
   * @returns A live view with `size`, `has`, and iteration.
   * @throws {TypeError | RangeError} If the name is not a string, empty, or too long.
   */
  subscribers(topic: string): LiveSet<Connection<Data>> {
    return this.#registry.topics.subscribers(topic, engineOf<Data>);
  }

  /**
   * Watches a stream of the program, such as standard input, together with the connections. The next chunk is read when
   * the callback has returned and its promise has settled, so a slow callback holds the stream back.
   *
   * @experimental It may change in a minor release.
   * @param stream The stream; locked while it is watched.
   * @param callback Gets each chunk. Its failures go to the console.
   * @returns A handle. `unwatch` unlocks the stream; `shutdown` cancels it.
   * @throws {TypeError} If it isn't a readable stream, or is locked.
   * @example Broadcast standard input
   * ```ts
   * import { Context } from "@sluice/websocket";
   *
   * await using ctx = new Context();
   * const listener = ctx.listen({ hostname: "127.0.0.1" });
   * ctx.watchReadable(Deno.stdin.readable, (chunk) => void listener.broadcast(chunk));
   * ```
   */
  watchReadable<T>(stream: ReadableStream<T>, callback: (chunk: T) => unknown): Watch {
    this.#checkAlive("watch a stream");
    return this.#watches.readable(stream, callback);
  }

  /**
   * Calls back whenever a stream of the program has room to write: at once, and each time the written chunks have been taken.
   * If the callback writes nothing, it is called again after other code has written.
   *
   * @experimental It may change in a minor release.
   * @param stream The stream; locked while it is watched.
   * @param callback Gets the stream's writer, to write to it. Its failures go to the console.
   * @returns A handle. `unwatch` and `shutdown` unlock the stream; it isn't closed.
   * @throws {TypeError} If it isn't a writable stream, or is locked.
   */
  watchWritable<T>(
    stream: WritableStream<T>,
    callback: (writer: WritableStreamDefaultWriter<T>) => unknown,
  ): Watch {
    this.#checkAlive("watch a stream");
    return this.#watches.writable(stream, callback);
  }

  /**
   * The streams that are watched.
   *
   * @experimental It may change in a minor release.
   */
  get watched(): ReadonlySet<Watch> {
    return this.#watches.all;
  }

  /**
   * Takes over an open byte stream: a `Deno.Conn`, a Node socket (such as that of `node:http`'s `upgrade` event), or a pair
   * of WHATWG streams. If it throws, the stream is untouched; otherwise the connection owns the stream and closes it
   * exactly once. No callback is called before the next microtask.
   *
   * @param source The stream.
   * @param options Our role, whether to do the handshake, and options of the connection.
   * @returns The connection: `"open"` if the handshake was done elsewhere, else `"connecting"`.
   * @throws {TypeError | RangeError} If an option is invalid, or the stream is locked or closed.
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
   * server.listen(0, "127.0.0.1", () => server.close());
   * ```
   */
  adopt<Own = Data>(
    source: AdoptSource,
    ...args: AdoptArguments<Data, Default, Own>
  ): Connection<CallData<Data, Own>> {
    this.#checkAlive("adopt");
    const [options = {}] = args as [options?: AdoptOptions];
    const { tls: _tls, proxy: _proxy, ...defaults } = this.#options;
    const merged = mergeOptions("adopt", defaults, options);
    return adopt(this.#registry, source, merged) as Connection<CallData<Data, Own>>;
  }

  /**
   * Upgrades a request that a handler has received, so that a framework can decide about it.
   *
   * For a request of a listener with `upgrades: "handler"` the connection has all features. Callbacks and `data` come from
   * the options; limits and `origins` from the listener, unless the options name their own. It opens when the handler
   * has answered with status 101, in this or another `Response`; any other answer fails it with a `HandshakeError`.
   *
   * For a request of `Deno.serve`, or a framework on it, the connection uses Deno's own WebSocket: it has no pings and no
   * frames, and a pause holds messages in this process without slowing the peer down.
   *
   * @param request The request, not a copy; its handler has to return the response.
   * @param options Options of the handshake and of the connection.
   * @returns The response, and the connection in state `"connecting"`.
   * @throws {UnsupportedError} With `Deno.serve`, for options that need frames; it names `listen` and `adopt`.
   * @throws {TypeError} If the request isn't a WebSocket handshake, was upgraded or answered before, is a copy, or comes
   * from another context's listener; or if an option is invalid.
   *
   * @example
   * ```ts
   * import { Context } from "@sluice/websocket";
   *
   * const ctx = new Context();
   * const server = Deno.serve({ hostname: "127.0.0.1", port: 0 }, (request) => {
   *   if (request.headers.get("upgrade") !== "websocket") return new Response("hello");
   *   const { response } = ctx.upgrade(request, { onMessage: (conn, data) => conn.send(data) });
   *   return response;
   * });
   * await server.shutdown();
   * ```
   */
  upgrade<Own = Data>(
    request: Request,
    ...args: CallArguments<UpgradeOptions<CallData<Data, NoInfer<Own>>>, Data, Default, Own>
  ): UpgradeResult<Connection<CallData<Data, Own>>> {
    this.#checkAlive("upgrade");
    const [options = {}] = args as [options?: UpgradeOptions];
    const { tls: _tls, proxy: _proxy, ...defaults } = this.#options;
    const upgraded = upgrade(this.#registry, request, defaults, options);
    return upgraded as UpgradeResult<Connection<CallData<Data, Own>>>;
  }

  /**
   * Reads the counters, ended connections included.
   *
   * @returns A snapshot.
   */
  stats(): ContextStats {
    return this.#registry.stats();
  }

  /**
   * Shuts down: closes the listening sockets, answers unfinished handshakes with 503, calls `onShutdown` of the listeners,
   * closes all connections, terminates the rest of them at the timeout, and ends all watches. Further calls return the
   * same promise.
   *
   * @param options Code, reason and timeout.
   * @returns The numbers of connections that were closed cleanly, and that had to be terminated.
   *
   * @example On SIGTERM
   * ```ts
   * import { Context } from "@sluice/websocket";
   *
   * const ctx = new Context();
   * ctx.listen({ hostname: "127.0.0.1" });
   * async function stop() {
   *   const { clean, terminated } = await ctx.shutdown({ timeout: 5_000 });
   *   console.log(`${clean} closed cleanly, ${terminated} terminated`);
   * }
   * Deno.addSignalListener("SIGTERM", stop);
   * await stop();
   * Deno.exit();
   * ```
   */
  shutdown(options: ShutdownOptions = {}): Promise<ShutdownResult> {
    if (this.#shutdown !== null) return this.#shutdown;
    const settled = shutdownArguments(options);
    const { promise, resolve } = Promise.withResolvers<ShutdownResult>();
    // Set before callbacks of the application run, which may call this method again.
    this.#shutdown = promise;
    for (const reconnection of this.#reconnections) reconnection.end();
    const entrances = [...this.#listeners].map(entranceOf);
    const deadline = new Deadline(settled.timeout);
    const ended = shutDown(this.#registry, entrances, settled, deadline, () => this.#watches.end());
    // The broker last, so that messages that are published when connections end are still relayed.
    resolve(ended.finally(() => this.#broker?.close(deadline.rest)));
    return promise;
  }

  /** Shuts down with the defaults. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  /** Returns the settings of an attempt with the headers that observers add. */
  #observed(connection: Connection, settings: ConnectSettings): ConnectSettings {
    const { observers } = this.#registry, { headers } = settings;
    if (!observers.any) return settings;
    const given = new Set(headers.map(([name]) => name.toLowerCase()));
    const added: Field[] = [];
    observers.notify((observer) => {
      for (const field of checkHeaders(observer.connecting(connection), "client")) {
        if (!given.has(field[0].toLowerCase())) added.push(field);
      }
    });
    return { ...settings, headers: [...headers, ...added] };
  }

  #describe(): string {
    const { size, connecting } = this.#registry;
    const parts = [
      count(size, "connection"),
      `${connecting.size} connecting`,
      count(this.#listeners.size, "listener"),
    ];
    if (this.#shutdown !== null) parts.push("shut down");
    return `Context { ${parts.join(", ")} }`;
  }

  #checkAlive(action: string): void {
    if (this.#shutdown !== null) {
      throw new InvalidStateError(`Cannot ${action} on a context that was shut down`);
    }
  }
}
