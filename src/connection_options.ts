import { amount, checkHandlers, choice, flag, group, limit, timeLimit } from "./util/check.ts";
import type { ConnectionHandlers } from "./connection.ts";
import { type CompressionOptions, readCompression } from "./deflate/compression_options.ts";
import { isSupported } from "./deflate/raw_zlib.ts";
import { RSV1 } from "./protocol/opcode.ts";
import { type RateLimitOptions, readRateLimit } from "./engine/rate_limit.ts";
import { readRsv, type RsvBits } from "./engine/rsv_bits.ts";
import type { Settings } from "./engine/settings.ts";
import { resolveDebug } from "./engine/trace.ts";

/**
 * Options of keepalive: a silent peer is pinged, and the connection is terminated if it doesn't answer.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context({ keepAlive: { interval: 5_000, timeout: 5_000 } });
 * ```
 */
export interface KeepAliveOptions {
  /**
   * Silence in ms after which a ping is sent; 0 for no pings.
   *
   * @default {20000}
   */
  interval?: number;
  /**
   * Further silence in ms after which the connection is terminated; 0 for never.
   *
   * @default {20000}
   */
  timeout?: number;
}

/**
 * Options of all kinds of connections. Times are in milliseconds, sizes in bytes.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context({
 *   highWaterMark: 256 * 1024,
 *   lowWaterMark: 64 * 1024,
 *   maxQueueBytes: 4 * 1024 * 1024,
 *   whenQueueFull: "close",
 *   keepAlive: { interval: 10_000, timeout: 5_000 },
 *   maxLifetime: 12 * 60 * 60_000,
 * });
 * const listener = ctx.listen({ hostname: "127.0.0.1", maxMessageSize: 64 * 1024 });
 * await ctx.connect(listener.url, { keepAlive: false }).opened; // an option of a call goes first
 * ```
 */
export interface ConnectionOptions<Data = unknown> extends ConnectionHandlers<Data> {
  /** Anything that the application keeps with the connection: `conn.data`. */
  data?: Data;
  /**
   * The largest message that is accepted, in bytes, inclusive; 0 for no limit. A larger one closes with 1009.
   *
   * @default {1048576}
   */
  maxMessageSize?: number;
  /**
   * `send` returns whether the queue is at or below this many bytes. It can't exceed `maxQueueBytes`; the default is lowered
   * to a smaller limit.
   *
   * @default {65536}
   */
  highWaterMark?: number;
  /**
   * The bytes at which the queue counts as drained.
   *
   * @default {0}
   */
  lowWaterMark?: number;
  /**
   * The largest size of the queue in bytes; 0 for no limit. While a `sendStream` is unfinished, a part of it is kept for
   * the stream, usually 16 KiB.
   *
   * @default {16777216}
   */
  maxQueueBytes?: number;
  /**
   * The policy for a message that would exceed `maxQueueBytes`: `"throw"` a `QueueFullError` that contains the message,
   * `"drop"` it and return false, or `"close"`: drop the queue and close with 1013.
   *
   * @default {"throw"}
   */
  whenQueueFull?: "throw" | "drop" | "close";
  /**
   * The most bytes that are still read and decoded while the connection is held.
   *
   * @default {65536}
   */
  readAhead?: number;
  /** Pings a silent peer and ends a dead one. Default: 20 s and 20 s, in both roles; `false` for none. */
  keepAlive?: KeepAliveOptions | false;
  /**
   * The age in ms at which a connection is closed with 1001, for load balancers and credentials that expire; 0 for none.
   * The actual age is random, 90 to 100 % of this, so that connections opened together don't end together.
   *
   * @default {0}
   */
  maxLifetime?: number;
  /**
   * How long a close may take, in ms: the connection is terminated this long after `close()`, or after the kernel last
   * took a byte; 0 for never.
   *
   * @default {10000}
   */
  closeTimeout?: number;
  /**
   * Whether the library answers pings. If not, the application has to call `conn.pong(payload)` in `onPing`, or the peer
   * may treat the connection as dead (RFC 6455 5.5.2).
   *
   * @default {true}
   */
  answerPings?: boolean;
  /**
   * How long a peer may read no byte while data is queued, in ms; 0 for ever. Then the connection is terminated.
   *
   * @default {0}
   */
  sendTimeout?: number;
  /**
   * The most that is read per second. Nothing is dropped: reading stops until the limit allows more, and TCP slows the peer
   * down. The allowance of one second may be used at once. The limit ends when either side closes. Default: none.
   */
  rateLimit?: RateLimitOptions;
  /**
   * How binary payloads are delivered. A `"copy"` belongs to the application. Small copies share a backing store of 16 KiB,
   * so pass on the array and not its `buffer`. A `"view"` is valid only until the callback returns or its promise
   * settles, and saves the copy; iterators and streams need `"copy"`.
   *
   * @default {"copy"}
   */
  payload?: "copy" | "view";
  /**
   * Compresses messages (permessage-deflate, RFC 7692) if the peer agrees. It costs time, and memory for each connection
   * (see `contextTakeover`), so leave it off for messages that are small or don't shrink.
   *
   * @default {false}
   */
  compression?: boolean | CompressionOptions;
  /**
   * Whether messages are assembled. With `false` only the frame callbacks get them, in pieces, and `onMessage` isn't called:
   * for messages that don't fit into memory. UTF-8 and `maxMessageSize` are still checked. Not with compression.
   *
   * @experimental It may change in a minor release.
   * @default {true}
   */
  assemble?: boolean;
  /**
   * Reserved bits that may be set in data frames, sent and received. Compression excludes `rsv1`. Default: none.
   *
   * @experimental It may change in a minor release.
   */
  allowRsv?: RsvBits;
  /**
   * Writes a trace of handshake, frames, queue and state: `true` to the console, a function gets each line. Default: to the
   * console if `SLUICE_DEBUG=1` is set in the environment, and reading it is permitted already.
   */
  debug?: boolean | ((line: string) => void);
  /**
   * Fills the 4-byte masking key of each client frame. It is called in the middle of a frame, so it must not use the
   * connection. Default: unpredictable keys (RFC 6455 10.3).
   */
  maskGenerator?: (key: Uint8Array) => void;
}

/**
 * The type of `data` for one call: that of the context, or if it is `unknown`, that of the call itself.
 *
 * @see {@linkcode Context}
 */
export type CallData<Data, Own> = unknown extends Data ? Own : Data;

/**
 * The last argument of a call that makes connections. The options are optional, unless they have to give `data` because the
 * type of the context's `data` excludes `undefined` and the context's options gave none.
 *
 * @typeParam Data The type of `data` in the context.
 * @typeParam Default The type of the `data` that the context's own options gave; `undefined` for none.
 * @typeParam Own The type of the `data` that the call itself gives.
 *
 * @see {@linkcode Context}
 */
export type CallArguments<Options, Data, Default, Own = Data> = undefined extends Data
  ? [options?: Options & { data?: CallData<Data, Own> }]
  : undefined extends Default ? [options: Options & { data: Data }]
  : [options?: Options];

/** Former names of options, and names that other libraries use. An ignored `host` would open a server to everyone. */
const RENAMED: Record<string, string> = {
  path: "unix",
  queuePolicy: "whenQueueFull",
  buffering: "assemble",
  maxPausedBytes: "maxHeldBytes",
  host: "hostname",
  maxPayload: "maxMessageSize",
  perMessageDeflate: "compression",
  onopen: "onConnect",
  onOpen: "onConnect",
  onmessage: "onMessage",
  onclose: "onClose",
  onerror: "onError",
};

/**
 * Merges the options of a call with the defaults of its context. An option that is `undefined` counts as not given. An
 * option that is an object (`tls`, `compression`, `keepAlive` …) isn't merged itself.
 *
 * @throws {TypeError} If the options aren't an object, or an option has a former name or that of another library.
 */
export function mergeOptions<Options extends object>(
  action: string,
  defaults: object,
  options: Options,
): Options {
  group(action, "options", options, "an object");
  const merged = { ...defaults, ...options } as Record<string, unknown>;
  for (const name of Object.keys(merged)) {
    if (merged[name] !== undefined) {
      if (!Object.hasOwn(RENAMED, name)) continue;
      throw new TypeError(`Cannot ${action} with ${name}: the option is called ${RENAMED[name]}`);
    }
    merged[name] = (defaults as Record<string, unknown>)[name];
  }
  lowerMarks(merged, options);
  return merged as Options;
}

/** Lowers water marks of the context, which the call doesn't name, to a limit or a mark that the call names. */
function lowerMarks(merged: ConnectionOptions, given: ConnectionOptions): void {
  const { highWaterMark, lowWaterMark, maxQueueBytes } = merged;
  if (given.highWaterMark === undefined && highWaterMark! > (maxQueueBytes || Infinity)) {
    merged.highWaterMark = maxQueueBytes;
  }
  if (given.lowWaterMark === undefined && lowWaterMark! > merged.highWaterMark!) {
    merged.lowWaterMark = merged.highWaterMark;
  }
}

/**
 * Checks options and fills in their defaults.
 *
 * @param action The attempted action for error messages, such as `listen`.
 */
export function resolveSettings(
  action: string,
  options: ConnectionOptions,
): Settings {
  const maxQueueBytes = limit(action, "maxQueueBytes", options.maxQueueBytes, 16 * 1024 * 1024);
  const mark = amount(action, "highWaterMark", options.highWaterMark, 64 * 1024);
  if (
    mark > maxQueueBytes && options.highWaterMark !== undefined &&
    options.maxQueueBytes !== undefined
  ) {
    throw new RangeError(
      `Cannot ${action} with highWaterMark ${mark} above maxQueueBytes ${maxQueueBytes}`,
    );
  }
  const highWaterMark = Math.min(mark, maxQueueBytes);
  const lowWaterMark = amount(action, "lowWaterMark", options.lowWaterMark, 0);
  if (lowWaterMark > highWaterMark) {
    throw new RangeError(
      `Cannot ${action} with lowWaterMark ${lowWaterMark} above highWaterMark ${highWaterMark}`,
    );
  }
  const compression = readCompression(options.compression, action);
  checkHandlers(action, options, ["maskGenerator"]);
  const assemble = flag(action, "assemble", options.assemble, true);
  const allowedRsv = rsvBits(action, options.allowRsv);
  if (compression !== null) {
    // The application can't use frames of a compressed message, and compression uses the first reserved bit.
    if (!assemble) throw new TypeError(`Cannot ${action} with compression and assemble: false`);
    if ((allowedRsv & RSV1) !== 0) {
      throw new TypeError(`Cannot ${action} with compression and allowRsv.rsv1: both use the bit`);
    }
  }
  return {
    highWaterMark,
    lowWaterMark,
    maxMessageSize: limit(action, "maxMessageSize", options.maxMessageSize, 1024 * 1024),
    maxQueueBytes,
    whenQueueFull: choice(action, "whenQueueFull", options.whenQueueFull, QUEUE_POLICIES),
    readAhead: amount(action, "readAhead", options.readAhead, 64 * 1024),
    keepAlive: keepAlive(action, options.keepAlive),
    maxLifetime: timeLimit(action, "maxLifetime", options.maxLifetime, Infinity),
    closeTimeout: timeLimit(action, "closeTimeout", options.closeTimeout, 10_000),
    sendTimeout: timeLimit(action, "sendTimeout", options.sendTimeout, Infinity),
    rateLimit: readRateLimit(action, options.rateLimit),
    answerPings: flag(action, "answerPings", options.answerPings, true),
    viewPayloads: choice(action, "payload", options.payload, PAYLOADS) === "view",
    textAsBytes: false,
    // If the runtime can't compress, connections work as if the option weren't given.
    compression: compression !== null && isSupported() ? compression : null,
    maskGenerator: options.maskGenerator ?? null,
    assemble,
    messagesOnly: false,
    allowedRsv,
    trace: resolveDebug(action, options.debug),
  };
}

const QUEUE_POLICIES = ["throw", "drop", "close"] as const;
const PAYLOADS = ["copy", "view"] as const;

function rsvBits(action: string, allowRsv: RsvBits | undefined): number {
  group(action, "allowRsv", allowRsv, "{ rsv1, rsv2, rsv3 }");
  return allowRsv === undefined ? 0 : readRsv(action, allowRsv, "allowRsv.");
}

function keepAlive(
  action: string,
  value: KeepAliveOptions | false = {},
): Settings["keepAlive"] {
  if (value === false) return null;
  group(action, "keepAlive", value, "{ interval, timeout } or false");
  const interval = timeLimit(action, "keepAlive.interval", value.interval, 20_000);
  const timeout = timeLimit(action, "keepAlive.timeout", value.timeout, 20_000);
  return interval === Infinity ? null : { interval, timeout };
}
