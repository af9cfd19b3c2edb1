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
  /** In ms; `Infinity` for none, as in the other times and maxima. */
  readonly maxLifetime: number;
  readonly closeTimeout: number;
  readonly sendTimeout: number;
  readonly rateLimit: RateLimitSettings | null;
  readonly answerPings: boolean;
  readonly viewPayloads: boolean;
  /** Whether text that wasn't compressed is delivered as bytes; the message's header says which type it is. */
  readonly textAsBytes: boolean;
  readonly compression: CompressionSettings | null;
  readonly maskGenerator: ((key: Uint8Array) => void) | null;
  readonly assemble: boolean;
  /** Bits of a frame's first byte. */
  readonly allowedRsv: number;
  /** Whether the transport carries only whole messages, so that there are no pings and no raw frames. */
  readonly messagesOnly: boolean;
  /** Writes a line of the trace; `null` for none. */
  readonly trace: ((line: string) => void) | null;
}

/** @throws {UnsupportedError} If the transport carries only whole messages, as Deno's own WebSocket does. */
export function needFrames(settings: Settings, action: string): void {
  if (!settings.messagesOnly) return;
  throw new UnsupportedError(
    `Cannot ${action} on a connection of upgrade: Deno's own sockets carry messages and no more; use listen or adopt`,
  );
}
