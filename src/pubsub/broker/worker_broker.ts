import { QueueFullError } from "../../errors.ts";
import { checkHandlers, group } from "../../util/check.ts";
import { Fifo } from "../../util/fifo.ts";
import { callForeign } from "../../util/foreign.ts";
import { type Broker, BrokerError, type BrokerLink, type BrokerMessage } from "./broker.ts";
import { packFlags, unpackFlags } from "./envelope.ts";
import { PortLink } from "./port_link.ts";

// The most bytes of publications that wait at a port for the other end, in each direction.
const LIMIT = 4 * 1024 * 1024;

/**
 * Options of a {@linkcode WorkerHub}.
 *
 * @see {@linkcode WorkerHub}
 */
export interface WorkerHubOptions {
  /** An unknown message was posted to a worker's port, and ignored. Default: a message on the console. */
  onError?(error: unknown): void;
}

/**
 * A worker's end of a {@linkcode WorkerHub}.
 *
 * @see {@linkcode WorkerHub}
 */
export interface WorkerPort {
  /** The port for the worker, which passes it to `new WorkerBroker(port)`. */
  readonly port: MessagePort;
  /** Removes the worker from the hub; it needn't be running any more. */
  disconnect(): void;
}

class HubMember {
  readonly topics = new Set<string>();
  readonly link: PortLink;
  /** The time since which publications for it have been dropped, and their topics. */
  gap: { since: number; topics: Set<string> } | null = null;

  constructor(hub: WorkerHub, port: MessagePort) {
    this.link = new PortLink(port, {
      publication: (topic, flags, payload) => relay(hub, this, topic, flags, payload),
      taken: () => this.#taken(),
      message: (message) => {
        if (message.type === "subscribe") {
          this.topics.add(message.topic);
          this.link.post({ type: "subscribed", id: message.id });
        } else if (message.type === "unsubscribe") {
          this.topics.delete(message.topic);
        } else if (message.type === "bye") {
          forget(hub, this);
        }
      },
      rubbish: (error) => report(hub, error),
    }, LIMIT);
  }

  publish(topic: string, flags: number, payload: Uint8Array): void {
    // Until it has caught up all publications are dropped, so that a gap has one beginning and one end.
    if (this.gap === null && this.link.publish(topic, flags, payload)) return;
    this.gap ??= { since: Date.now(), topics: new Set() };
    this.gap.topics.add(topic);
  }

  #taken(): void {
    if (this.gap === null || this.link.pendingBytes > LIMIT / 2) return;
    this.link.post({ type: "gap", since: this.gap.since, topics: [...this.gap.topics] });
    this.gap = null;
  }
}

let relay: (
  hub: WorkerHub,
  from: HubMember,
  topic: string,
  flags: number,
  payload: Uint8Array,
) => void;
let forget: (hub: WorkerHub, member: HubMember) => void;
let report: (hub: WorkerHub, error: unknown) => void;

/**
 * Shares topics between the workers of one process. It belongs into the thread that makes the workers, and provides a port
 * for each.
 *
 * A worker that is stuck costs at most 4 MiB. It misses further publications, and its `onBrokerGap` is called.
 *
 * @example
 * ```ts no-eval
 * import { WorkerHub } from "@sluice/websocket";
 *
 * const hub = new WorkerHub();
 * const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
 * const { port } = hub.connect();
 * worker.postMessage({ port }, [port]);
 * // In the worker: new Context({ broker: new WorkerBroker(port) })
 * ```
 */
export class WorkerHub implements Disposable {
  static {
    relay = (hub, from, topic, flags, payload) => {
      for (const member of hub.#members) {
        if (member !== from && member.topics.has(topic)) member.publish(topic, flags, payload);
      }
    };
    forget = (hub, member) => {
      hub.#members.delete(member);
      member.link.close();
    };
    report = (hub, error) => {
      const { onError } = hub.#options;
      if (onError === undefined) return console.error("A worker hub has ignored a message:", error);
      callForeign(() => onError(error), (failure) => {
        console.error("An onError callback failed:", failure);
      });
    };
  }

  readonly #options: WorkerHubOptions;
  readonly #members = new Set<HubMember>();

  /**
   * Makes a hub.
   *
   * @param options A callback for ignored messages.
   * @throws {TypeError} If `onError` isn't a function.
   */
  constructor(options: WorkerHubOptions = {}) {
    group("make a worker hub", "options", options, "an object");
    checkHandlers("make a worker hub", options, ["onError"]);
    this.#options = options;
  }

  /**
   * Makes a port for one worker, or for a context of this thread.
   *
   * @returns The port, and a function that disconnects it.
   */
  connect(): WorkerPort {
    const { port1, port2 } = new MessageChannel();
    const member = new HubMember(this, port1);
    this.#members.add(member);
    return { port: port2, disconnect: () => forget(this, member) };
  }

  /** Disconnects all workers; until then the ports keep the process alive. */
  close(): void {
    for (const member of this.#members) forget(this, member);
  }

  /** Disconnects all workers. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Connects a context with those of other workers, through a {@linkcode WorkerHub}. It keeps the worker alive until the
 * context is shut down.
 *
 * @example
 * ```ts
 * import { Context, WorkerBroker, WorkerHub } from "@sluice/websocket";
 *
 * // In earnest the hub is in the main thread, and each port goes to a worker by postMessage.
 * const hub = new WorkerHub();
 * await using one = new Context({ broker: new WorkerBroker(hub.connect().port) });
 * await using two = new Context({ broker: new WorkerBroker(hub.connect().port) });
 * const listener = one.listen({ hostname: "127.0.0.1", onConnect: (conn) => void conn.subscribe("news") });
 * const conn = two.connect(listener.url);
 * await conn.opened;
 * await Promise.all([one.ready, two.ready]);
 * two.publish("news", "from the other context");
 * console.log(await conn.receive());
 * ```
 */
export class WorkerBroker implements Broker {
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  readonly #relaying = new Fifo<PromiseWithResolvers<void>>();
  #link: PortLink | null = null;
  #unsent = 0;
  #nextId = 0;
  #closed: BrokerError | null = null;

  /**
   * Makes a broker for one context.
   *
   * @param port The port from `WorkerHub.connect`.
   */
  constructor(port: MessagePort) {
    this.#port = port;
  }

  /** Connects. Called by the context. */
  start(link: BrokerLink): Promise<void> {
    if (this.#link !== null) {
      return Promise.reject(new TypeError("Cannot start a broker twice: it serves one context"));
    }
    this.#link = new PortLink(this.#port, {
      publication: (topic, flags, payload) =>
        link.deliver(topic, { ...unpackFlags(flags), payload }),
      taken: (count) => {
        for (let i = 0; i < count; i++) this.#relaying.shift()?.resolve();
      },
      message: (message) => {
        if (message.type === "subscribed") {
          this.#waiting.get(message.id)?.resolve();
          this.#waiting.delete(message.id);
        } else if (message.type === "gap") {
          const { since, topics } = message;
          const cause = new Error("This worker took too long, so publications for it were dropped");
          link.gap({ since, until: Date.now(), topics, unsent: this.#unsent, cause });
          this.#unsent = 0;
        } else if (message.type === "bye") {
          const error = new BrokerError("The hub of the workers was closed");
          this.#end(error);
          link.error(error);
        }
      },
      rubbish: (error) => link.error(error),
    }, LIMIT);
    return Promise.resolve();
  }

  /** Subscribes at the hub. */
  subscribe(topic: string): Promise<void> {
    const link = this.#link;
    if (this.#closed !== null || link === null) return Promise.reject(this.#closed ?? notStarted());
    const waiter = Promise.withResolvers<void>(), id = this.#nextId++;
    this.#waiting.set(id, waiter);
    link.post({ type: "subscribe", id, topic });
    return waiter.promise;
  }

  /** Unsubscribes at the hub. */
  unsubscribe(topic: string): void {
    this.#link?.post({ type: "unsubscribe", topic });
  }

  /** Hands a publication to the hub. */
  publish(topic: string, { text, slow, payload }: BrokerMessage): Promise<void> {
    const link = this.#link;
    if (this.#closed !== null || link === null) return Promise.reject(this.#closed ?? notStarted());
    if (!link.publish(topic, packFlags(text, slow), payload)) {
      this.#unsent++;
      return Promise.reject(
        new QueueFullError(
          "Cannot relay a publication: too many publications wait for the hub of the workers",
          payload,
        ),
      );
    }
    const done = Promise.withResolvers<void>();
    this.#relaying.push(done);
    return done.promise;
  }

  /** Sends the accepted publications, then disconnects. */
  close(): Promise<void> {
    this.#end(new BrokerError("Cannot relay a publication: the context was shut down"));
    return Promise.resolve();
  }

  #end(error: BrokerError): void {
    if (this.#closed !== null) return;
    this.#closed = error;
    this.#link?.close();
    for (const { reject } of this.#relaying.drain()) reject(error);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

function notStarted(): TypeError {
  return new TypeError("Cannot use a broker that no context has started");
}
