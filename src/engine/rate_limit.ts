import { group, rate } from "../util/check.ts";
import { Timer, type Timers } from "../util/timers.ts";

/**
 * How much of a peer is read per second.
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
   * Bytes per second, framing included, and compressed if that was agreed; at least 1.
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

/** What a rate limit needs of its connection. */
export interface Limited {
  readonly owner: { readonly timers: Timers };
  /** Goes on reading. */
  unlimited(): void;
}

// An empty bucket is left alone until it holds this part of a second's allowance, but at least one token: a fast limit
// must not wake up for every message.
const REFILL_FRACTION = 0.02;

/**
 * A token bucket that holds the reader: what exceeds the limit isn't read, so TCP holds the peer back and nothing is
 * lost. It holds one second's worth, which a peer may spend at once.
 */
export class RateLimit extends Timer {
  readonly #peer: Limited;
  readonly #settings: RateLimitSettings;
  #messages: number;
  #bytes: number;
  #counted = 0; // bytes of the connection that were taken out of the bucket
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
    // The clock is asked when the bucket is empty, not for every message.
    return --this.#messages < 1 && this.#fill() < 0;
  }

  /** Whether nothing may be read or decoded for now; it says when that is over. */
  get dry(): boolean {
    return this.#dry;
  }

  /**
   * Says how many bytes may be read now.
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

  /** For the end of the connection. */
  stop(): void {
    this.#peer.owner.timers.clear(this);
  }

  override fire(): void {
    this.#dry = false;
    this.#peer.unlimited();
  }

  /** Puts in what time has brought; returns -1, and arms the timer, if that isn't enough to go on. */
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
  // Nothing times infinity is no number.
  return rate === Infinity ? Infinity : Math.min(rate, tokens + seconds * rate);
}

/** Seconds until the bucket has a sip. */
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
