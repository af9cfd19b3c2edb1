import type { SlowPolicy } from "../options.ts";

/**
 * A publication, as it travels between contexts.
 *
 * @experimental It may change in a minor release.
 */
export interface BrokerMessage {
  /** Whether it is a text message. */
  readonly text: boolean;
  /** The payload; of a text message, its UTF-8. */
  readonly payload: Uint8Array;
  /** What receivers that are slow get of it. */
  readonly slow: SlowPolicy;
}

/** A time in which publications of other contexts may have been missed, now over. */
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

/** What a broker refused, or that it can't be reached; the message has the broker's words. */
export class BrokerError extends Error {
  /** The name of the class. */
  override readonly name = "BrokerError";
}
