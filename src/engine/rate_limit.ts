import { group, rate } from "../util/check.ts";
import { Timer, type Timers } from "../util/timers.ts";

/**
 * The most that is read from a peer per second.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * // A peer that sends more is read more slowly; nothing is lost.
 * ctx.listen({ hostname: "127.0.0.1", rateLimit: { messages: 100, bytes: 1024 * 1024 } });
 * ```
 */
export interface RateLimitOptions {
  /**
   * Messages, pings and pongs per second, at least 1.
   *
   * @default {Infinity}
   */
  messages?: number;
  /**
   * Bytes per second as received, that is with framing and before decompression; at least 1.
   *
   * @default {Infinity}
   */
  bytes?: number;
}

/** A rate limit with its defaults filled in. */
export interface RateLimitSettings {
  readonly messages: number;
  readonly bytes: number;
}

/** What a rate limit needs from its connection. */
export interface Limited {
  readonly owner: { readonly timers: Timers };
  /** Continues reading. */
  unlimited(): void;
}

// An empty bucket is refilled with this part of a second's allowance before reading continues, but at least one token: a
// fast limit must not wake up for every message.
const REFILL_FRACTION = 0.02;

/**
 * A token bucket that stops reading: bytes beyond the limit stay unread, so TCP slows the peer down and nothing is lost.
 * The bucket holds the allowance of one second, which a peer may spend at once.
 */
export class RateLimit extends Timer {
  readonly #peer: Limited;
  readonly #settings: RateLimitSettings;
  #messages: number;
  #bytes: number;
  #counted = 0; // received bytes that were taken out of the bucket
  #filled = performance.now();
  #dry = false;

  constructor(settings: RateLimitSettings, peer: Limited) {
    super();
    this.#settings = settings;
    this.#peer = peer;
    this.#messages = settings.messages;
    this.#bytes = settings.bytes;
  }

  /** Counts a message; returns whether it was the last one for now. */
  took(): boolean {
    // The clock is read when the bucket is empty, not for every message.
    return --this.#messages < 1 && this.#fill() < 0;
  }

  /** Whether nothing may be read or decoded for now. `Limited.unlimited` is called when that is over. */
  get dry(): boolean {
    return this.#dry;
  }

  /**
   * Returns how many bytes may be read now.
   *
   * @param received All bytes that the connection has received.
   */
  room(received: number): number {
    if (this.#settings.bytes !== Infinity) {
      this.#bytes -= received - this.#counted;
      this.#counted = received;
    }
    if (this.#dry || this.#fill() < 0) return 0;
    return this.#bytes === Infinity ? Infinity : Math.max(1, Math.floor(this.#bytes));
  }

  /** Stops the timer: the connection is ending. */
  stop(): void {
    this.#peer.owner.timers.clear(this);
  }

  override fire(): void {
    this.#dry = false;
    this.#peer.unlimited();
  }

  /** Adds the tokens of the time that has passed. If they aren't enough to continue, arms the timer and returns -1. */
  #fill(): number {
    const { messages, bytes } = this.#settings;
    const now = performance.now(), seconds = (now - this.#filled) / 1000;
    this.#filled = now;
    this.#messages = filled(this.#messages, messages, seconds);
    this.#bytes = filled(this.#bytes, bytes, seconds);
    if (this.#messages >= 1 && this.#bytes >= 1) return 0;
    this.#dry = true;
    const wait = Math.max(missing(this.#messages, messages), missing(this.#bytes, bytes));
    this.#peer.owner.timers.set(this, wait * 1000);
    return -1;
  }
}

function filled(tokens: number, rate: number, seconds: number): number {
  // `0 * Infinity` is `NaN`.
  return rate === Infinity ? Infinity : Math.min(rate, tokens + seconds * rate);
}

/** Seconds until the bucket is refilled enough to continue. */
function missing(tokens: number, rate: number): number {
  return rate === Infinity ? 0 : (Math.max(1, rate * REFILL_FRACTION) - tokens) / rate;
}

/** Checks the option `rateLimit`. */
export function readRateLimit(
  action: string,
  value: RateLimitOptions | undefined,
): RateLimitSettings | null {
  group(action, "rateLimit", value, "{ messages, bytes }");
  if (value === undefined) return null;
  const messages = rate(action, "rateLimit.messages", value.messages);
  const bytes = rate(action, "rateLimit.bytes", value.bytes);
  return messages === Infinity && bytes === Infinity ? null : { messages, bytes };
}
