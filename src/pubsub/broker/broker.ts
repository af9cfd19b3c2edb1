import type { SlowPolicy } from "../options.ts";

/**
 * A publication, as it travels between contexts.
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode Broker}
 */
export interface BrokerMessage {
  /** Whether it is a text message. */
  readonly text: boolean;
  /** The payload; of a text message, its UTF-8. */
  readonly payload: Uint8Array;
  /** What receivers that are slow get of it. */
  readonly slow: SlowPolicy;
}

/**
 * A time in which publications of other contexts may have been missed, now over.
 *
 * @see {@linkcode BrokerReports}
 */
export interface BrokerGap {
  /** When it began, in ms since 1970. */
  readonly since: number;
  /** When it ended, in ms since 1970. */
  readonly until: number;
  /** The topics whose subscribers here may have missed something. */
  readonly topics: readonly string[];
  /** Publications from here that were not relayed in that time. */
  readonly unsent: number;
  /** What caused it. */
  readonly cause: unknown;
}

/**
 * What a broker calls.
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode Broker}
 */
export interface BrokerLink {
  /**
   * Hands over a publication of another context, never one of this one's own.
   *
   * @param topic Its topic.
   * @param message The publication; its bytes may be overwritten afterwards.
   */
  deliver(topic: string, message: BrokerMessage): void;
  /**
   * Reports a gap that is over.
   *
   * @param gap When, why, and what it concerns.
   */
  gap(gap: BrokerGap): void;
  /**
   * Reports an error that no call waits for, such as a lost connection; once for each.
   *
   * @param error What happened.
   */
  error(error: unknown): void;
}

/**
 * What carries publications between contexts: the option `broker` of a context. A broker serves one context.
 *
 * What a context publishes reaches its own subscribers without it. Publications of one context on one topic arrive
 * in order; where nothing fails, each exactly once.
 *
 * @experimental It may change in a minor release.
 *
 * @example A broker of one's own
 * ```ts
 * import { type Broker, type BrokerLink, type BrokerMessage, Context } from "@sluice/websocket";
 *
 * const all = new Set<LocalBroker>();
 *
 * // Connects the contexts of one process: each hears what the others publish.
 * class LocalBroker implements Broker {
 *   #topics = new Set<string>();
 *   #link!: BrokerLink;
 *
 *   async start(link: BrokerLink) {
 *     this.#link = link;
 *     all.add(this);
 *   }
 *   async subscribe(topic: string) {
 *     this.#topics.add(topic);
 *   }
 *   unsubscribe(topic: string) {
 *     this.#topics.delete(topic);
 *   }
 *   async publish(topic: string, message: BrokerMessage) {
 *     for (const other of all) {
 *       if (other !== this && other.#topics.has(topic)) other.#link.deliver(topic, message);
 *     }
 *   }
 *   async close() {
 *     all.delete(this);
 *   }
 * }
 *
 * await using one = new Context({ broker: new LocalBroker() });
 * await using two = new Context({ broker: new LocalBroker() });
 * const listener = one.listen({ hostname: "127.0.0.1", onConnect: (conn) => conn.subscribe("news") });
 * const conn = two.connect(listener.url);
 * await conn.opened;
 * await Promise.all([one.ready, two.ready]);
 * await two.publish("news", "from the other context").relayed;
 * console.log(await conn.receive());
 * ```
 */
export interface Broker {
  /**
   * Connects. Called once, before anything else.
   *
   * @param link What to call.
   * @returns Resolves when connected; rejects with the broker's words if it refuses for good.
   */
  start(link: BrokerLink): Promise<void>;
  /**
   * The first local connection has subscribed to a topic.
   *
   * @param topic The topic.
   * @returns Resolves when publications of others arrive from then on.
   */
  subscribe(topic: string): Promise<void>;
  /**
   * The last local subscriber of a topic is gone.
   *
   * @param topic The topic.
   */
  unsubscribe(topic: string): void;
  /**
   * Relays a publication to the other contexts. While the broker is away it keeps a bounded number of them.
   *
   * @param topic The topic.
   * @param message The publication. Its bytes are the broker's to keep and not to change.
   * @returns Resolves when the broker has it; rejects if it has not taken it.
   */
  publish(topic: string, message: BrokerMessage): Promise<void>;
  /** Lets go of everything, after what was published has gone out. */
  close(): Promise<void>;
}

/**
 * What a broker refused, or that it can't be reached; the message has the broker's words.
 *
 * @see {@linkcode WorkerBroker}
 * @see {@linkcode WorkerBroker}
 */
export class BrokerError extends Error {
  /** The name of the class. */
  override readonly name = "BrokerError";
}
