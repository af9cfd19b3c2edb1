import { Buffer } from "node:buffer";
import type { ZlibOptions } from "node:zlib";
import { refusal } from "../util/check.ts";
import { type OpenTerms, openTerms } from "../adopt/adopt.ts";
import type { DeflateTerms } from "../adopt/outside_handshake.ts";
import type { ConnectionHandlers } from "../connection.ts";
import type { CompressionOptions } from "../deflate/compression_options.ts";
import type { ConnectionOptions } from "../connection_options.ts";

/**
 * The options of permessage-deflate, with the names of `ws`.
 *
 * @see {@linkcode WebSocketServer}
 */
export interface PerMessageDeflateOptions extends DeflateTerms {
  /** How to compress. Only `level` and `memLevel` have an effect. */
  zlibDeflateOptions?: ZlibOptions;
  /** Accepted and without effect: memory for inflating is always bounded. */
  zlibInflateOptions?: ZlibOptions;
  /**
   * Messages below this size aren't compressed, in bytes; the first fragment decides for the others. It has an effect
   * only if this side doesn't keep its window (`serverNoContextTakeover`, `clientNoContextTakeover`).
   *
   * @default {1024}
   */
  threshold?: number;
  /** Accepted and without effect: messages are compressed in turn. */
  concurrencyLimit?: number;
}

/**
 * Options of both servers and clients.
 *
 * @see {@linkcode WebSocketServer}
 */
export interface SharedOptions {
  /** Whether messages of the same read may be emitted without a microtask checkpoint in between. @default {true} */
  allowSynchronousEvents?: boolean;
  /** Whether pings are answered. @default {true} */
  autoPong?: boolean;
  /** How long to wait for the peer's close frame after `close()`, in ms. @default {30000} */
  closeTimeout?: number;
  /** Accepted and without effect: buffers are bounded in bytes. */
  maxBufferedChunks?: number;
  /** Accepted and without effect: fragments of a message share one buffer. */
  maxFragments?: number;
  /** The size of the largest message to accept, in bytes; 0 for any. @default {104857600} */
  maxPayload?: number;
  /** Accepted and without effect: the number of waiting pongs is always bounded. */
  maxPendingAutoPongs?: number;
  /** Accepted and without effect: text is always checked. */
  skipUTF8Validation?: boolean;
}

/** The options of `ws` that concern a connection. */
interface ConnectionPart extends SharedOptions {
  perMessageDeflate?: boolean | PerMessageDeflateOptions;
  generateMask?: (mask: Uint8Array) => void;
}

/** Converts the options of `ws` to those of a connection. */
function connectionOptions(options: ConnectionPart, threshold: number): ConnectionOptions {
  const { closeTimeout = 30_000, maxPayload = 100 * 1024 * 1024, autoPong = true } = options;
  return {
    // Node's timers accept any value, and take invalid ones as the shortest time.
    closeTimeout: Math.max(1, wholeOf(closeTimeout)),
    maxMessageSize: wholeOf(maxPayload),
    maxQueueBytes: 0,
    keepAlive: false,
    // `ws` emits events in the order of the frames, pings and close frames included. So no frame is decoded while messages
    // wait.
    readAhead: 0,
    answerPings: autoPong,
    maskGenerator: maskGenerator(options.generateMask),
    compression: compressionOptions(options.perMessageDeflate, threshold),
  };
}

/** Passes the application's function a `Buffer`. Its error is reported as uncaught, and a random key is used. */
function maskGenerator(generateMask: ConnectionPart["generateMask"]) {
  if (!generateMask) return undefined;
  return ({ buffer, byteOffset, length }: Uint8Array) => {
    try {
      generateMask(Buffer.from(buffer, byteOffset, length));
    } catch (error) {
      reportError(error);
      throw error;
    }
  };
}

/** Converts a number as `ws` does: rounded down, and 0 for negative or invalid values. */
function wholeOf(given: unknown): number {
  const number = Math.floor(Number(given));
  return number > 0 && number < Infinity ? number : 0;
}

let last: { facts: unknown[]; terms: OpenTerms } | null = null;

/**
 * The terms of a connection. Successive connections with equal options share one object.
 *
 * @param threshold The result of `thresholdOf`; the option's value before the handshake.
 */
export function openTermsOf<Data>(
  options: SharedOptions,
  handlers: ConnectionHandlers<Data>,
  threshold: number = givenThreshold(options),
): OpenTerms {
  const given = connectionOptions(options, threshold);
  const { level, memLevel } = given.compression as CompressionOptions;
  const { closeTimeout, maxMessageSize, answerPings } = given;
  const { generateMask } = options as ConnectionPart;
  const facts = [
    ...[handlers, closeTimeout, maxMessageSize, answerPings, generateMask],
    ...[level, memLevel, threshold],
  ];
  if (last === null || !last.facts.every((fact, index) => fact === facts[index])) {
    last = { facts, terms: openTerms({ ...given, ...handlers as ConnectionHandlers }, true) };
  }
  return last.terms;
}

/** Converts the options of `ws` to those of compression, without the terms, which the handshake negotiates. */
function compressionOptions(
  given: boolean | PerMessageDeflateOptions | undefined,
  threshold: number,
): CompressionOptions {
  const { zlibDeflateOptions, serverMaxWindowBits, clientMaxWindowBits } = termsOf(given);
  checkWindow("serverMaxWindowBits", serverMaxWindowBits);
  checkWindow("clientMaxWindowBits", clientMaxWindowBits);
  const { level, memLevel } = zlibDeflateOptions ?? {};
  return { threshold, level: level === -1 ? 6 : level, memLevel };
}

function checkWindow(name: string, bits: unknown): void {
  if (bits === undefined || bits === null || typeof bits === "boolean") return;
  const least = 8;
  if (typeof bits === "number" && Number.isInteger(bits) && bits >= least && bits <= 15) return;
  throw refusal(`use perMessageDeflate.${name}`, bits, `a whole number from ${least} to 15`);
}

function givenThreshold({ perMessageDeflate }: ConnectionPart): number {
  const { threshold = 1024 } = termsOf(perMessageDeflate);
  return Math.max(0, threshold);
}

/** The size below which messages aren't compressed. A side that keeps its window compresses all of them. */
export function thresholdOf(
  options: SharedOptions,
  { role, extensions }: Pick<Handshaken<unknown>, "role" | "extensions">,
): number {
  return extensions.includes(`${role}_no_context_takeover`) ? givenThreshold(options) : 0;
}

/** The terms to negotiate. */
export function termsOf(
  given: boolean | PerMessageDeflateOptions | undefined,
): PerMessageDeflateOptions {
  return typeof given === "object" && given !== null ? given : {};
}

/** The result of a handshake. */
export interface Handshaken<Socket> {
  readonly role: "server" | "client";
  readonly protocol: string;
  readonly extensions: string;
  /** Called when the socket has closed, before its `close` event. */
  readonly closed?: (socket: Socket) => void;
}
