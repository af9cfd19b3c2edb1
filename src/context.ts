import {
  broadcast,
  type BroadcastOptions,
  type BroadcastResult,
  type PublishOptions,
} from "./broadcast.ts";
import type { Broker } from "./broker/broker.ts";
import { BrokerClient, type BrokerReports } from "./broker/broker_client.ts";
import { type ConnectOptions, resolveConnect } from "./connect_options.ts";
import { type Connection, makeConnection } from "./connection.ts";
import { Dial } from "./dial.ts";
import { Engine } from "./engine.ts";
import { abortError, type Message } from "./errors.ts";
import type { ListenOptions } from "./listen_options.ts";
import { type Listener, makeListener } from "./listener.ts";
import {
  checkHandlers,
  type ConnectionOptions,
  HANDLERS,
  pickHandlers,
  resolveSettings,
} from "./options.ts";
import { type PreparedMessage, prepareMessage, type Sendable } from "./prepared_message.ts";
import { Registry, type ShutdownOptions, type ShutdownResult } from "./registry.ts";
import { shutdownArguments } from "./shutdown.ts";
import { Timers } from "./timers.ts";
import type { PublishResult } from "./topics.ts";

/** Options of a context: defaults for every connection. */
export interface ContextOptions<Data = unknown> extends ConnectionOptions<Data>, BrokerReports {
  /** What connects the topics of this context with those of others. Default: nothing, the context is alone. */
  broker?: Broker;
  /** How clients do TLS, where `connect` doesn't say. */
  tls?: ConnectOptions["tls"];
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
  #broker: BrokerClient | null = null;
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
    checkHandlers("make a context", options, ["onBrokerGap", "onBrokerError"]);
    const { broker, onBrokerGap, onBrokerError, ...defaults } = options;
    this.#options = defaults;
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
   * Resolves when the broker is connected and has all subscriptions made so far: publications of other contexts arrive
   * from then on. At once without a broker. Rejects with the broker's words where it refuses.
   */
  get ready(): Promise<void> {
    return this.#broker === null ? Promise.resolve() : this.#broker.ready;
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
    const { tls: _, ...defaults } = this.#options;
    const listener = makeListener(this.#registry, { ...defaults, ...options });
    this.#listeners.add(listener);
    listener.finished.then(() => this.#listeners.delete(listener));
    return listener;
  }

  /**
   * Encodes a message once, to be sent any number of times.
   *
   * @param data The message, as for `send`.
   * @returns What `send`, `broadcast` and `publish` take.
   * @throws {TypeError} If the data are of another type.
   */
  prepare(data: Message): PreparedMessage {
    return prepareMessage(data);
  }

  /**
   * Sends a message to every server-side connection, never to the context's own clients. It is encoded once. A
   * connection amid an unfinished `sendFragment` message gets it behind that.
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
   * Publishes to every connection that subscribed to a topic, in other contexts too where there is a broker. The queues
   * have it when this returns, so the order of the calls is the order of arrival; to many receivers it is written in
   * slices, which leave timers and reads their time.
   *
   * @param topic 1 to 256 bytes of UTF-8.
   * @param data The message, as for `send`.
   * @param options Who doesn't get it, and what becomes of slow receivers.
   * @returns How many receivers of this context got it, and what became of the others; `relayed` tells about the rest.
   * @throws {TypeError | RangeError} If an argument makes no sense.
   * @throws {BrokerError} If the broker has refused for good.
   */
  publish(topic: string, data: Sendable, options: PublishOptions<Data> = {}): PublishResult {
    return this.#registry.topics.publish(topic, data, options, null);
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
    const listeners = [...this.#listeners];
    // The listeners' connections are among the context's, so they are counted there.
    for (const listener of listeners) listener.shutdown({ code, reason, timeout });
    this.#shutdown = this.#end(code, reason, timeout);
    return this.#shutdown;
  }

  /** Shuts down with the defaults. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  async #end(code: number, reason: string, timeout: number): Promise<ShutdownResult> {
    const result = await this.#registry.shutdown(code, reason, timeout);
    // Last, so that what is published when connections end still goes out.
    await this.#broker?.close();
    return result;
  }

  #checkAlive(action: string): void {
    if (this.#shutdown !== null) {
      throw new Error(`Cannot ${action} on a context that was shut down`);
    }
  }
}
