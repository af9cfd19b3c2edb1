import type { ZlibOptions } from "node:zlib";
import { type OpenTerms, openTerms } from "../adopt/adopt.ts";
import type { DeflateTerms } from "../adopt/outside_handshake.ts";
import type { ConnectionHandlers } from "../connection.ts";
import type { CompressionOptions } from "../deflate/compression_options.ts";
import type { ConnectionOptions } from "../connection_options.ts";

/**
 * The options of permessage-deflate, by the names of `ws`.
 *
 * @see {@linkcode WebSocketServer}
 */
export interface PerMessageDeflateOptions extends DeflateTerms {
  /** How to compress: `level` and `memLevel` are used, what else it says is decided here. */
  zlibDeflateOptions?: ZlibOptions;
  /** How to inflate; what it would bound is bounded here already. */
  zlibInflateOptions?: ZlibOptions;
  /** Messages below it go uncompressed, in bytes. @default {1024} */
  threshold?: number;
  /** How many messages are compressed at once; they take turns here, whatever it says. */
  concurrencyLimit?: number;
}

/**
 * Options that servers and clients share.
 *
 * @see {@linkcode WebSocketServer}
 */
export interface SharedOptions {
  /** Whether several messages of one read are emitted without a microtask checkpoint between them. @default {true} */
  allowSynchronousEvents?: boolean;
  /** Whether pings are answered. @default {true} */
  autoPong?: boolean;
  /** From `close()` to the end of a peer that doesn't answer, in ms. @default {30000} */
  closeTimeout?: number;
  /** Accepted and without effect: what is buffered is bounded in bytes. */
  maxBufferedChunks?: number;
  /** Accepted and without effect: fragments of a message share one buffer. */
  maxFragments?: number;
  /** The largest message, in bytes; 0 for any. @default {104857600} */
  maxPayload?: number;
  /** Accepted and without effect: the pongs that wait are few, and only the latest is kept of those that a peer doesn't read. */
  maxPendingAutoPongs?: number;
  /** Accepted and without effect: text is always checked. */
  skipUTF8Validation?: boolean;
}

/** What the options of `ws` say about a connection. */
interface ConnectionPart extends SharedOptions {
  perMessageDeflate?: boolean | PerMessageDeflateOptions;
  generateMask?: (mask: Uint8Array) => void;
}

/** The options of a connection that come from those of `ws`. */
function connectionOptions(options: ConnectionPart): ConnectionOptions {
  const { closeTimeout = 30_000, maxPayload = 100 * 1024 * 1024, autoPong = true } = options;
  return {
    // A timer of Node's takes anything, and nothing sensible as the shortest time.
    closeTimeout: Math.max(1, wholeOf(closeTimeout)),
    maxMessageSize: wholeOf(maxPayload),
    maxQueueBytes: 0,
    keepAlive: false,
    // Frames are handled in their order, pings and close frames too: none is decoded while messages wait.
    readAhead: 0,
    answerPings: autoPong,
    maskGenerator: options.generateMask,
    compression: compressionOptions(options.perMessageDeflate),
  };
}

/** A number as `ws` reads it: whole, and 0 for what is none, or below. */
function wholeOf(given: unknown): number {
  const number = Math.floor(Number(given));
  return number > 0 && number < Infinity ? number : 0;
}

let last: { facts: unknown[]; terms: OpenTerms } | null = null;

/** The terms of a connection; the same object for one after the other, as long as their options say the same. */
export function openTermsOf<Data>(
  options: SharedOptions,
  handlers: ConnectionHandlers<Data>,
): OpenTerms {
  const given = connectionOptions(options);
  const { level, memLevel, threshold } = given.compression as CompressionOptions;
  const { closeTimeout, maxMessageSize, answerPings, maskGenerator } = given;
  const facts = [
    ...[handlers, closeTimeout, maxMessageSize, answerPings, maskGenerator],
    ...[level, memLevel, threshold],
  ];
  if (last === null || !last.facts.every((fact, index) => fact === facts[index])) {
    last = { facts, terms: openTerms({ ...given, ...handlers as ConnectionHandlers }, true) };
  }
  return last.terms;
}

/** The options of compression that come from those of `ws`, without its terms, which are agreed on by the handshake. */
function compressionOptions(
  given: boolean | PerMessageDeflateOptions | undefined,
): CompressionOptions {
  const { zlibDeflateOptions: { level, memLevel } = {}, threshold = 1024 } = termsOf(given);
  return { threshold: Math.max(0, threshold), level: level === -1 ? 6 : level, memLevel };
}

/** What may be agreed on. */
export function termsOf(
  given: boolean | PerMessageDeflateOptions | undefined,
): PerMessageDeflateOptions {
  return typeof given === "object" && given !== null ? given : {};
}

/** What was agreed on by the handshake of a socket. */
export interface Handshaken<Socket> {
  readonly role: "server" | "client";
  readonly protocol: string;
  readonly extensions: string;
  /** Called when the socket has closed, before it says so. */
  readonly closed?: (socket: Socket) => void;
}
