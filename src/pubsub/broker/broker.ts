import type { SlowPolicy } from "../options.ts";

/**
 * A publication, as a broker relays it between contexts.
 *
 * @experimental It may change in a minor release.
 */
export interface BrokerMessage {
  /** Whether it is a text message. */
  readonly text: boolean;
  /** The payload; UTF-8 for a text message. */
  readonly payload: Uint8Array;
  /** The policy for slow receivers. */
  readonly slow: SlowPolicy;
}

/** A time, now over, in which publications of other contexts may have been missed. */
export interface BrokerGap {
  /** The beginning, in ms since 1970. */
  readonly since: number;
  /** The end, in ms since 1970. */
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

/** A broker has refused an action, or can't be reached; the message contains its reason. */
export class BrokerError extends Error {
  /** The name of the class. */
  override readonly name = "BrokerError";
}

/** The error of a broker that is used after the end of its context. */
export function brokerClosed(): BrokerError {
  return new BrokerError("Cannot use a broker whose context was shut down");
}
