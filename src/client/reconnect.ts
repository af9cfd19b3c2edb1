import type { Connection } from "../connection.ts";
import { abortError, ConnectionClosedError, HandshakeError } from "../errors.ts";
import { between, checkHandlers, duration, group, timeLimit } from "../util/check.ts";
import { callForeign } from "../util/foreign.ts";
import { startTimer } from "../util/timers.ts";
import type { ConnectOptions } from "./connect_options.ts";

// The longest `Retry-After` that is respected, in ms.
const LONGEST_RETRY_AFTER = 60 * 60 * 1000;
/** Temporary statuses below 500: timeout, too early, too many requests (RFC 9110, 6585, 8470). */
const PASSING = [408, 425, 429];

/** Deno's errors for a stream that was cut, and the codes of node:tls for it. */
const CUTS = [
  Deno.errors.UnexpectedEof,
  Deno.errors.ConnectionReset,
  Deno.errors.ConnectionAborted,
  Deno.errors.BrokenPipe,
];
const CUT_CODES = ["ECONNRESET", "EPIPE"];

/**
 * The waits between attempts.
 *
 * @see {@linkcode Context.prototype.reconnect}
 */
export interface BackoffOptions {
  /**
   * The wait before the second attempt, in ms.
   *
   * @default {250}
   */
  initial?: number;
  /**
   * The longest wait in ms; 0 for no limit. After a connection that was open for this long, waits begin with `initial` again.
   *
   * @default {30000}
   */
  max?: number;
  /**
   * The factor by which each wait is longer than the one before; at least 1.
   *
   * @default {2}
   */
  factor?: number;
  /**
   * The part of each wait that is random, 0 to 1, so that clients don't all come back at once.
   *
   * @default {0.5}
   */
  jitter?: number;
}

/**
 * Options of `reconnect`.
 *
 * @see {@linkcode Context.prototype.reconnect}
 */
export interface ReconnectOptions<Data = unknown> extends ConnectOptions<Data> {
  /** The waits between attempts. */
  backoff?: BackoffOptions;
  /**
   * Says whether to try again after an error: that of an attempt, or a `ConnectionClosedError` after the end of a
   * connection. Default: always, except after a `TypeError`, a missing permission, or a permanent `HandshakeError`. The
   * statuses 408, 425, 429 and 5xx are temporary, and so is a stream that was cut during the handshake.
   */
  retryable?: (error: unknown) => boolean | PromiseLike<boolean>;
  /** Called before each wait with the error that led to it, and its length in ms. Its failures go to the console. */
  onRetry?: (error: unknown, delay: number) => unknown;
}

interface ReconnectSettings {
  readonly initial: number;
  readonly max: number;
  readonly factor: number;
  readonly jitter: number;
  readonly retryable: NonNullable<ReconnectOptions["retryable"]>;
  readonly onRetry: ReconnectOptions["onRetry"];
  readonly signal: AbortSignal | undefined;
}

/** Checks the options that `reconnect` has in addition to those of `connect`. */
function resolveReconnect<Data>(options: ReconnectOptions<Data>): ReconnectSettings {
  checkHandlers("reconnect", options, ["retryable", "onRetry"]);
  const { backoff = {} } = options;
  group("reconnect", "backoff", backoff, "{ initial, max, factor, jitter }");
  const initial = duration("reconnect", "backoff.initial", backoff.initial, 250);
  const max = timeLimit("reconnect", "backoff.max", backoff.max, 30_000);
  const factor = between("reconnect", "backoff.factor", backoff.factor, 2, 1, Infinity);
  const jitter = between("reconnect", "backoff.jitter", backoff.jitter, 0.5, 0, 1);
  const { retryable = isPassing, onRetry, signal } = options;
  return { initial, max, factor, jitter, retryable, onRetry, signal };
}

/** The iterable of one call of `reconnect`: connections, one after the other. */
export class Reconnection<Data> implements AsyncIterable<Connection<Data>> {
  readonly #settings: ReconnectSettings;
  readonly #connect: () => Connection<Data>;
  readonly #changed: (reconnection: Reconnection<Data>, running: boolean) => void;
  /** Ends a wait. */
  #wake: (() => void) | null = null;
  #ended = false;
  #taken = false;

  /**
   * @param connect Starts an attempt.
   * @param changed Called when the iteration begins, and when there will be no more connections.
   */
  constructor(
    options: ReconnectOptions<Data>,
    connect: () => Connection<Data>,
    changed: (reconnection: Reconnection<Data>, running: boolean) => void,
  ) {
    this.#settings = resolveReconnect(options);
    this.#connect = connect;
    this.#changed = changed;
  }

  /** Ends the iteration without an error, since the context shuts down. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  [Symbol.asyncIterator](): AsyncGenerator<Connection<Data>, undefined> {
    if (this.#taken) {
      throw new TypeError(
        "Cannot iterate twice over the connections of one reconnect: call it again",
      );
    }
    this.#taken = true;
    return this.#run();
  }

  async *#run(): AsyncGenerator<Connection<Data>, undefined> {
    const { signal, max } = this.#settings;
    this.#changed(this, true);
    let connection: Connection<Data> | null = null;
    const abort = () => {
      connection?.close();
      this.#wake?.();
    };
    signal?.addEventListener("abort", abort);
    try {
      for (let failures = 0;; failures++) {
        this.#check();
        if (this.#ended) return;
        connection = this.#connect();
        let error: unknown;
        try {
          await connection.opened;
        } catch (reason) {
          error = reason;
        }
        if (error === undefined) {
          const since = performance.now();
          yield connection;
          const close = await connection.closed;
          error = new ConnectionClosedError(`The connection has ended: ${close}`, { close });
          if (performance.now() - since >= max) failures = 0;
        }
        this.#check();
        if (this.#ended || !await this.#asked(error)) break;
        await this.#wait(error, failures);
      }
    } finally {
      signal?.removeEventListener("abort", abort);
      connection?.close();
      this.#changed(this, false);
    }
  }

  /** @throws {DOMException} `AbortError` if it was aborted. */
  #check(): void {
    const { signal } = this.#settings;
    if (signal?.aborted) throw abortError("Reconnecting was aborted", signal.reason);
  }

  /** Returns whether to continue after an error. @throws The error, if it isn't to be tried again. */
  async #asked(error: unknown): Promise<boolean> {
    const { retryable } = this.#settings;
    const answer = await this.#unlessWoken(Promise.resolve(retryable(error)));
    this.#check();
    if (this.#ended) return false;
    if (answer !== true) throw error;
    return true;
  }

  async #wait(error: unknown, failures: number): Promise<void> {
    const { initial, max, factor, jitter, onRetry } = this.#settings;
    const full = Math.min(max, initial * factor ** failures);
    const delay = Math.max(full - Math.random() * jitter * full, retryAfter(error));
    if (onRetry !== undefined) callForeign(() => onRetry(error, delay), reportRetry);
    let stop = () => {};
    await this.#unlessWoken(new Promise<void>((resolve) => stop = startTimer(delay, resolve)));
    stop();
  }

  /** Waits for a promise, or for the end of the iteration. */
  #unlessWoken<T>(promise: Promise<T>): Promise<T | undefined> {
    if (this.#ended || this.#settings.signal?.aborted) {
      promise.catch(() => {});
      return Promise.resolve(undefined);
    }
    return new Promise((resolve, reject) => {
      this.#wake = () => resolve(undefined);
      promise.then(resolve, reject);
    });
  }
}

function reportRetry(error: unknown): void {
  console.error("An onRetry callback failed:", error);
}

/** Whether an error may be temporary. */
function isPassing(error: unknown): boolean {
  if (error instanceof HandshakeError) {
    if (error.status === 0) return wasCut(error);
    return PASSING.includes(error.status) || error.status >= 500;
  }
  return !(error instanceof TypeError || error instanceof Deno.errors.NotCapable);
}

/** Whether a handshake has failed because the stream ended, as when a server restarts. */
function wasCut(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (CUTS.some((Kind) => cause instanceof Kind)) return true;
    if (CUT_CODES.includes((cause as { code?: string }).code ?? "")) return true;
  }
  return false;
}

/** The value of `Retry-After` in ms (RFC 9110 10.2.3). */
function retryAfter(error: unknown): number {
  if (!(error instanceof HandshakeError)) return 0;
  const value = error.headers.get("retry-after")?.trim() ?? "";
  const delay = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(delay) ? 0 : Math.min(Math.max(0, delay), LONGEST_RETRY_AFTER);
}
