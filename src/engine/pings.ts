import { CallbackTimer, type Timers } from "../util/timers.ts";
import {
  abortError,
  InvalidStateError,
  type Message,
  QueueFullError,
  TimeoutError,
} from "../errors.ts";
import { LONGEST_CONTROL } from "../protocol/frame_header.ts";
import { PING } from "../protocol/opcode.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import { copyOf, toBytes } from "../util/bytes.ts";

/**
 * Options of a single ping.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({
 *   hostname: "127.0.0.1",
 *   onMessage: (conn, data) => void conn.send(data),
 * });
 * const conn = ctx.connect(listener.url);
 * await conn.opened;
 * console.log(`${await conn.ping(undefined, { timeout: 5000 })} ms`);
 * conn.pong(); // a sign of life that asks for nothing
 * ```
 */
export interface PingOptions {
  /**
   * How long to wait, in ms; 0: until the connection closes.
   *
   * @default {0}
   */
  timeout?: number;
  /** Gives up when aborted. */
  signal?: AbortSignal;
}

/** What a ping of the application needs from its connection. */
export interface PingHost {
  pings: Pings | null;
  readonly owner: { readonly timers: Timers };
  readonly readShut: boolean;
  readonly receiver: { readonly stalled: number };
  readonly sender: {
    /** @throws Unless something may be sent. */
    checkOpen(action: string, data: unknown): void;
    requestControl(opcode: number, payload: Uint8Array): void;
  };
  readonly writer: { readonly control: { readonly full: boolean } };
}

interface Pending {
  /** The payload, as a string of its bytes. */
  readonly key: string;
  readonly sentAt: number;
  readonly resolve: (ms: number) => void;
  readonly reject: (error: unknown) => void;
  /** Removes its timer and its listener. */
  release: () => void;
}

// The most pings that may wait for their pong at the same time.
const MOST = 1024;

let counter = 0;

/** Returns a payload that no other unanswered ping has. */
export function freshPayload(): Uint8Array {
  counter = (counter + 1) >>> 0;
  const payload = new Uint8Array(4);
  new DataView(payload.buffer).setUint32(0, counter);
  return payload;
}

/** Copies the application's payload for a ping or a pong. */
export function controlPayload(payload: Message, action: string): Uint8Array {
  const bytes = typeof payload === "string" ? encodeUtf8(payload) : copyOf(toBytes(payload));
  if (bytes.length > LONGEST_CONTROL) {
    throw new RangeError(
      `Cannot ${action} with a payload of ${bytes.length} bytes: at most ${LONGEST_CONTROL} fit`,
    );
  }
  return bytes;
}

/**
 * Checks whether a ping or a pong may be sent now.
 *
 * @throws {InvalidStateError | ConnectionClosedError} Unless the connection is open.
 * @throws {QueueFullError} If the control queue is full.
 */
export function checkControl(host: PingHost, action: string, payload: unknown): void {
  host.sender.checkOpen(action, payload);
  if (host.writer.control.full) {
    throw new QueueFullError(`Cannot ${action}: 64 pings and pongs wait to be sent`, payload);
  }
}

/**
 * Sends a ping for the application.
 *
 * @param bytes The payload of the ping.
 * @param payload The payload as the application gave it, for errors.
 * @returns The round trip in ms. Errors reject; nothing is thrown.
 */
export async function sendPing(
  host: PingHost,
  bytes: Uint8Array,
  payload: unknown,
  timeout: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  checkControl(host, "ping", payload);
  if (host.readShut) {
    throw new InvalidStateError("Cannot ping after shutdownRead(): no pong could be received", {
      data: payload,
    });
  }
  if (signal?.aborted) throw abortError("The ping was aborted", signal.reason);
  const pings = host.pings ??= new Pings();
  if (pings.full) {
    throw new QueueFullError(`Cannot ping: ${MOST} pings wait for their pong`, payload);
  }
  const answered = pings.wait(
    bytes,
    timeout,
    signal,
    host.owner.timers,
    () => host.receiver.stalled,
  );
  host.sender.requestControl(PING, bytes);
  return await answered;
}

/** Pings that wait for their pong, oldest first. A pong answers its ping and all earlier ones (RFC 6455 5.5.3). */
export class Pings {
  /** The round trip measured last, in ms. */
  lastRoundTrip: number | null = null;
  readonly #pending = new Set<Pending>();
  /** The number of pending pings by payload, so that a pong that answers none is recognized without a search. */
  readonly #counts = new Map<string, number>();

  /** Whether the list is full: a peer that never answers must not make it grow. */
  get full(): boolean {
    return this.#pending.size >= MOST;
  }

  /** Whether any ping waits for its pong. */
  get any(): boolean {
    return this.#pending.size > 0;
  }

  /** Notes a ping whose answer isn't awaited. */
  note(payload: Uint8Array): void {
    if (!this.full) this.#add(payload, ignore, ignore);
  }

  /**
   * Records a ping; resolves with its round trip in ms. A cancelled ping is forgotten, and its pong is ignored.
   *
   * @param timeout In ms, `Infinity` for none.
   * @param stalled Returns the total time in ms for which reading was stopped. That time doesn't count, since no pong could
   *   be seen.
   */
  wait(
    payload: Uint8Array,
    timeout: number,
    signal: AbortSignal | undefined,
    timers: Timers,
    stalled: () => number,
  ): Promise<number> {
    return new Promise<number>((resolve, reject) => {
      const pending = this.#add(payload, resolve, reject);
      if (timeout === Infinity && signal === undefined) return;
      const giveUp = (error: unknown) => {
        this.#remove(pending);
        pending.release();
        reject(error);
      };
      let excludedTime = stalled();
      const timer = new CallbackTimer(() => {
        const more = stalled() - excludedTime;
        excludedTime += more;
        // At least a quarter of the timeout, so that short stalls don't fire the timer again and again.
        if (more > 0) timers.set(timer, Math.max(more, timeout / 4));
        else giveUp(new TimeoutError(`No pong within ${timeout} ms`));
      });
      const abort = () => giveUp(abortError("The ping was aborted", signal!.reason));
      pending.release = () => {
        timers.clear(timer);
        signal?.removeEventListener("abort", abort);
      };
      timers.set(timer, timeout);
      signal?.addEventListener("abort", abort);
    });
  }

  /** Resolves the pings that a pong answers. A pong that answers none is ignored. */
  answered(payload: Uint8Array): void {
    const key = keyOf(payload);
    if (!this.#counts.has(key)) return;
    const now = performance.now();
    for (const pending of this.#pending) {
      this.#remove(pending);
      pending.release();
      this.lastRoundTrip = now - pending.sentAt;
      pending.resolve(this.lastRoundTrip);
      // If several pings have this payload, the pong answers the latest of them, and so all.
      if (pending.key === key && !this.#counts.has(key)) return;
    }
  }

  /** Rejects all pings that wait. */
  fail(makeError: () => unknown): void {
    for (const pending of this.#pending) {
      this.#remove(pending);
      pending.release();
      pending.reject(makeError());
    }
  }

  #add(payload: Uint8Array, resolve: Pending["resolve"], reject: Pending["reject"]): Pending {
    const key = keyOf(payload);
    const pending: Pending = { key, sentAt: performance.now(), resolve, reject, release: ignore };
    this.#pending.add(pending);
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    return pending;
  }

  #remove(pending: Pending): void {
    if (!this.#pending.delete(pending)) return;
    const { key } = pending, others = this.#counts.get(key)! - 1;
    if (others === 0) this.#counts.delete(key);
    else this.#counts.set(key, others);
  }
}

function keyOf(payload: Uint8Array): string {
  return String.fromCharCode(...payload);
}

function ignore(): void {}
