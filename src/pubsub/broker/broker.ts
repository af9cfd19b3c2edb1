import type { SlowPolicy } from "../options.ts";

/**
 * A publication, as a broker relays it between contexts.
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode Broker}
 */
export interface BrokerMessage {
  /** Whether it is a text message. */
  readonly text: boolean;
  /** The payload; UTF-8 for a text message. */
  readonly payload: Uint8Array;
  /** The policy for slow receivers. */
  readonly slow: SlowPolicy;
}

/**
 * A time, now over, in which publications of other contexts may have been missed.
 *
 * @see {@linkcode BrokerReports}
 */
export interface BrokerGap {
  /** When the gap began, in ms since 1970. */
  readonly since: number;
  /** When the gap ended, in ms since 1970. */
  readonly until: number;
  /** The topics whose local subscribers may have missed publications. */
  readonly topics: readonly string[];
  /** The number of local publications that were not relayed in that time. */
  readonly unsent: number;
  /** The cause. */
  readonly cause: unknown;
}

/**
 * The context's side of a broker, which the broker calls.
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode Broker}
 */
export interface BrokerLink {
  /**
   * Delivers a publication of another context, never of this one.
   *
   * @param topic The topic.
   * @param message The publication; the broker may overwrite its bytes after the call.
   */
  deliver(topic: string, message: BrokerMessage): void;
  /**
   * Reports a gap that is over.
   *
   * @param gap The gap.
   */
  gap(gap: BrokerGap): void;
  /**
   * Reports an error that no call rejects with, such as a lost connection. To be called once for each error.
   *
   * @param error The error.
   */
  error(error: unknown): void;
}

/**
 * Relays publications between contexts: the option `broker` of a context. A broker serves one context.
 *
 * Subscribers in the same context get publications without it. Publications of one context on one topic arrive in order,
 * and exactly once if nothing fails.
 *
 * @experimental It may change in a minor release.
 *
 * @example A broker of one's own
 * ```ts
 * import { type Broker, type BrokerLink, type BrokerMessage, Context } from "@sluice/websocket";
 *
 * const all = new Set<LocalBroker>();
 *
 * // Connects the contexts of one process: each gets what the others publish.
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
   * @param link The context's side.
   * @returns Resolves when connected; rejects with the reason if the broker refuses for good.
   */
  start(link: BrokerLink): Promise<void>;
  /**
   * The first local connection has subscribed to a topic.
   *
   * @param topic The topic.
   * @returns Resolves when publications of other contexts arrive.
   */
  subscribe(topic: string): Promise<void>;
  /**
   * The last local connection has unsubscribed from a topic, or ended.
   *
   * @param topic The topic.
   */
  unsubscribe(topic: string): void;
  /**
   * Relays a publication to the other contexts. Without a connection it may keep a limited number of them.
   *
   * @param topic The topic.
   * @param message The publication. The broker may keep its bytes, but must not change them.
   * @returns Resolves when the publication was accepted; rejects if it wasn't.
   */
  publish(topic: string, message: BrokerMessage): Promise<void>;
  /** Sends the accepted publications, then disconnects. */
  close(): Promise<void>;
}

/**
 * A broker has refused an action, or can't be reached; the message contains its reason.
 *
 * @see {@linkcode WorkerBroker}
 * @see {@linkcode WorkerBroker}
 */
export class BrokerError extends Error {
  /** The name of the class. */
  override readonly name = "BrokerError";
}

/** The error of a broker that is used after the end of its context. */
export function brokerClosed(): BrokerError {
  return new BrokerError("Cannot use a broker whose context was shut down");
}
