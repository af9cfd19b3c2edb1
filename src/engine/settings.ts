import { UnsupportedError } from "../errors.ts";
import type { CompressionSettings } from "../deflate/compression_options.ts";
import type { RateLimitSettings } from "./rate_limit.ts";

/** Options with their defaults filled in, shared by all connections of a listener. */
export interface Settings {
  readonly maxMessageSize: number;
  readonly highWaterMark: number;
  readonly lowWaterMark: number;
  readonly maxQueueBytes: number;
  readonly whenQueueFull: "throw" | "drop" | "close";
  readonly readAhead: number;
  readonly keepAlive: { interval: number; timeout: number } | null;
  /** Times and maxima hold `Infinity` if there is none. */
  readonly maxLifetime: number;
  readonly closeTimeout: number;
  readonly sendTimeout: number;
  readonly rateLimit: RateLimitSettings | null;
  readonly answerPings: boolean;
  readonly viewPayloads: boolean;
  readonly compression: CompressionSettings | null;
  readonly maskGenerator: ((key: Uint8Array) => void) | null;
  readonly assemble: boolean;
  /** Bits of a frame's first byte. */
  readonly allowedRsv: number;
  /** Whether only whole messages can be carried, so that there are no pings and no frames of one's own. */
  readonly messagesOnly: boolean;
  /** Takes the lines of a trace. */
  readonly trace: ((line: string) => void) | null;
}

/** @throws {UnsupportedError} If only whole messages can be carried, by a socket of Deno's own. */
export function needFrames(settings: Settings, action: string): void {
  if (!settings.messagesOnly) return;
  throw new UnsupportedError(
    `Cannot ${action} on a connection of upgrade: Deno's own sockets carry messages and no more; use listen or adopt`,
  );
}
