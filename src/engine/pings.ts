import { CallbackTimer, type Timers } from "../util/timers.ts";
import { abortError, type Message, TimeoutError } from "../errors.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import { toBytes } from "../util/bytes.ts";

/** Options of a single ping. */
export interface PingOptions {
  /** Gives up after so many ms; 0 or left out: when the connection closes. */
  timeout?: number;
  /** Gives up when aborted. */
  signal?: AbortSignal;
}

interface Pending {
  payload: Uint8Array;
  sentAt: number;
  resolve: ((ms: number) => void) | null;
  reject: ((error: unknown) => void) | null;
  /** Ends what watches over it. */
  release: (() => void) | null;
}

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

/** Pings that wait for their pong, oldest first. A pong answers its ping and all earlier ones (RFC 6455 5.5.3). */
export class Pings {
  /** The round trip measured last, in ms. */
  lastRoundTrip: number | null = null;
  #pending: Pending[] = [];

  /** Notes a ping whose answer nobody awaits. */
  note(payload: Uint8Array): void {
    // A peer that never answers must not make the list grow.
    if (this.#pending.length < 64) this.#add(payload, null, null);
  }

  /**
   * Notes a ping and promises its round trip.
   *
   * @param stalled For how many ms in all reading has been stopped: the pong can't be seen, and time stands still.
   */
  wait(
    payload: Uint8Array,
    options: PingOptions,
    timers: Timers,
    stalled: () => number,
  ): Promise<number> {
    const promise = new Promise<number>((resolve, reject) => {
      const pending = this.#add(payload, resolve, reject);
      const { timeout = 0, signal } = options;
      if (timeout === 0 && signal === undefined) return;
      const give = (error: unknown) => {
        pending.release?.();
        pending.resolve = pending.reject = null;
        reject(error);
      };
      let excused = stalled();
      const alarm = new CallbackTimer(() => {
        const more = stalled() - excused;
        excused += more;
        // Not too soon again, where it goes on standing still.
        if (more > 0) timers.set(alarm, Math.max(more, timeout / 4));
        else give(new TimeoutError(`No pong within ${timeout} ms`));
      });
      const abort = () => give(abortError("The ping was aborted", signal!.reason));
      pending.release = () => {
        timers.clear(alarm);
        signal?.removeEventListener("abort", abort);
      };
      if (timeout > 0) timers.set(alarm, timeout);
      if (signal?.aborted) abort();
      else signal?.addEventListener("abort", abort);
    });
    promise.catch(() => {});
    return promise;
  }

  /** Settles what a pong answers; one that answers nothing is left alone. */
  answered(payload: Uint8Array): void {
    const at = this.#pending.findLastIndex((pending) => equal(pending.payload, payload));
    if (at < 0) return;
    const now = performance.now();
    for (const { sentAt, resolve, release } of this.#pending.splice(0, at + 1)) {
      release?.();
      this.lastRoundTrip = now - sentAt;
      resolve?.(now - sentAt);
    }
  }

  /** Rejects all that wait. */
  fail(makeError: () => unknown): void {
    for (const { reject, release } of this.#pending.splice(0)) {
      release?.();
      reject?.(makeError());
    }
  }

  #add(payload: Uint8Array, resolve: Pending["resolve"], reject: Pending["reject"]): Pending {
    const pending = { payload, sentAt: performance.now(), resolve, reject, release: null };
    this.#pending.push(pending);
    return pending;
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
