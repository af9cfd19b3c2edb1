import { CallbackTimer, type Timers } from "../util/timers.ts";
import {
  abortError,
  InvalidStateError,
  type Message,
  QueueFullError,
  TimeoutError,
} from "../errors.ts";
import { PING } from "../protocol/opcode.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import { toBytes } from "../util/bytes.ts";

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

/** What a ping of the application needs of its connection. */
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
  /** Ends what watches over it. */
  release: () => void;
}

// Pings that may wait for their pong at the same time.
const MOST = 1024;

let counter = 0;

/** A payload that no other unanswered ping has. */
export function freshPayload(): Uint8Array {
  counter = (counter + 1) >>> 0;
  const payload = new Uint8Array(4);
  new DataView(payload.buffer).setUint32(0, counter);
  return payload;
}

/** What the application gives for a ping or a pong, as bytes of our own. */
export function controlPayload(payload: Message, action: string): Uint8Array {
  const bytes = typeof payload === "string" ? encodeUtf8(payload) : toBytes(payload).slice();
  if (bytes.length > 125) {
    throw new RangeError(
      `Cannot ${action} with a payload of ${bytes.length} bytes: at most 125 fit`,
    );
  }
  return bytes;
}

/**
 * Checks whether a ping or a pong may be sent now.
 *
 * @throws {InvalidStateError | ConnectionClosedError} Unless the connection is open.
 * @throws {QueueFullError} If as many wait to be sent as may.
 */
export function checkControl(host: PingHost, action: string, payload: unknown): void {
  host.sender.checkOpen(action, payload);
  if (host.writer.control.full) {
    throw new QueueFullError(`Cannot ${action}: 64 pings and pongs wait to be sent`, payload);
  }
}

/**
 * Sends a ping of the application's.
 *
 * @param bytes What goes out.
 * @param payload What the application gave, which an error gives back.
 * @returns The round trip in ms. Whatever the state of the connection is, nothing is thrown.
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
  /** How many of them have a payload, so that a pong that answers none is known without a search. */
  readonly #counts = new Map<string, number>();

  /** Whether as many wait as may: a peer that never answers must not make the list grow. */
  get full(): boolean {
    return this.#pending.size >= MOST;
  }

  /** Notes a ping whose answer isn't awaited. */
  note(payload: Uint8Array): void {
    if (!this.full) this.#add(payload, ignore, ignore);
  }

  /**
   * Notes a ping and promises its round trip. One that is given up is gone: its pong answers nothing of it.
   *
   * @param timeout In ms, `Infinity` for none.
   * @param stalled For how many ms in all reading has been stopped: the pong can't be seen, and that time doesn't count.
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
      let excused = stalled();
      const alarm = new CallbackTimer(() => {
        const more = stalled() - excused;
        excused += more;
        // Not too soon again if there is still no progress.
        if (more > 0) timers.set(alarm, Math.max(more, timeout / 4));
        else giveUp(new TimeoutError(`No pong within ${timeout} ms`));
      });
      const abort = () => giveUp(abortError("The ping was aborted", signal!.reason));
      pending.release = () => {
        timers.clear(alarm);
        signal?.removeEventListener("abort", abort);
      };
      timers.set(alarm, timeout);
      signal?.addEventListener("abort", abort);
    });
  }

  /** Settles what a pong answers; one that answers nothing is left alone. */
  answered(payload: Uint8Array): void {
    const key = keyOf(payload);
    if (!this.#counts.has(key)) return;
    const now = performance.now();
    for (const pending of this.#pending) {
      this.#remove(pending);
      pending.release();
      this.lastRoundTrip = now - pending.sentAt;
      pending.resolve(this.lastRoundTrip);
      // Of several with this payload the pong answers the latest one.
      if (pending.key === key && !this.#counts.has(key)) return;
    }
  }

  /** Rejects all that wait. */
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
