import { QueueFullError } from "../../errors.ts";
import { type Broker, BrokerError, type BrokerLink, type BrokerMessage } from "./broker.ts";
import { Envelope } from "./envelope.ts";
import type { RedisBrokerOptions } from "./redis_options.ts";
import { makeSession, type Session } from "./redis_session.ts";

interface Topic {
  wanted: boolean;
  /** The session that it is subscribed on. */
  on: Session | null;
  busy: boolean;
  waiters: PromiseWithResolvers<void>[];
}

interface Pending {
  channel: string;
  payload: Uint8Array;
  done: PromiseWithResolvers<void>;
}

const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 2000;
const CLOSE_TIMEOUT = 2000;
/** What a publication costs besides its payload. */
const OVERHEAD = 128;
const REFUSALS = /^(WRONGPASS|NOAUTH|NOPERM|ERR .*(AUTH|password))/i;

/**
 * Connects contexts on many machines through Redis.
 *
 * - A topic is subscribed at Redis only while someone here is subscribed to it.
 * - A lost connection is made again by itself, with all subscriptions. Redis keeps nothing for those who are away, so
 *   what was missed is gone; `onBrokerGap` tells when, and for which topics.
 * - Publications wait while Redis is away, up to `maxPendingBytes`; what is more is refused, which `relayed` tells.
 * - What Redis refuses for good, such as the password, fails `ctx.ready` and every publication, with its words.
 * - A connected broker keeps the process alive until the context is shut down.
 *
 * @example
 * ```ts no-eval
 * import { Context } from "@sluice/websocket";
 * import { RedisBroker } from "@sluice/websocket/redis";
 *
 * await using ctx = new Context({ broker: new RedisBroker({ url: "redis://127.0.0.1:6379" }) });
 * await ctx.ready;
 * ctx.publish("prices.eur", "1.08");
 * ```
 */
export class RedisBroker implements Broker {
  readonly #options: RedisBrokerOptions;
  readonly #prefix: string;
  readonly #limit: number;
  readonly #envelope = new Envelope();
  readonly #topics = new Map<string, Topic>();
  #link!: BrokerLink;
  /** The session that subscriptions go to; publications too, once it is `#live`. */
  #session: Session | null = null;
  #live = false;
  #pending: Pending[] = [];
  #bytes = 0;
  #unsent = 0;
  #lostAt = 0;
  #lostBy: unknown;
  #refusal: BrokerError | null = null;
  #closed = false;
  #wake: (() => void) | null = null;

  /**
   * Makes a broker for one context; it connects when the context is made.
   *
   * @param options Where Redis is, and limits.
   * @throws {TypeError} If both `url` and `cluster` are given, or `cluster` is empty.
   */
  constructor(options: RedisBrokerOptions = {}) {
    if (options.cluster !== undefined && (options.url !== undefined || !options.cluster.length)) {
      throw new TypeError("Cannot make a Redis broker: give either url or nodes of a cluster");
    }
    this.#options = options;
    this.#prefix = options.prefix ?? "sluice:";
    this.#limit = options.maxPendingBytes ?? 4 * 1024 * 1024;
  }

  /** Connects; for the context that the broker is given to. */
  start(link: BrokerLink): Promise<void> {
    if (this.#link !== undefined) {
      return Promise.reject(new TypeError("Cannot start a broker twice: it serves one context"));
    }
    this.#link = link;
    return this.#connect();
  }

  /** Subscribes at Redis. */
  subscribe(topic: string): Promise<void> {
    let state = this.#topics.get(topic);
    if (state === undefined) {
      state = { wanted: false, on: null, busy: false, waiters: [] };
      this.#topics.set(topic, state);
    }
    state.wanted = true;
    const waiter = Promise.withResolvers<void>();
    state.waiters.push(waiter);
    const refusal = this.#closed ? closedError() : this.#refusal;
    if (refusal !== null) this.#settle(state, refusal);
    else this.#sync(topic, state);
    return waiter.promise;
  }

  /** Unsubscribes at Redis. */
  unsubscribe(topic: string): void {
    const state = this.#topics.get(topic);
    if (state === undefined) return;
    state.wanted = false;
    this.#settle(state, null);
    if (this.#session === null) this.#topics.delete(topic);
    else this.#sync(topic, state);
  }

  /** Publishes at Redis. */
  publish(topic: string, message: BrokerMessage): Promise<void> {
    if (this.#refusal !== null) return Promise.reject(this.#refusal);
    if (this.#closed) return Promise.reject(closedError());
    const size = message.payload.length + OVERHEAD;
    if (this.#bytes + size > this.#limit) {
      this.#unsent++;
      return Promise.reject(
        new QueueFullError(
          `Cannot relay a publication: ${this.#bytes} of ${this.#limit} bytes wait for Redis`,
          message.payload,
        ),
      );
    }
    this.#bytes += size;
    const channel = this.#prefix + topic, payload = this.#envelope.pack(message);
    const done = Promise.withResolvers<void>();
    if (this.#live) this.#send(channel, payload, done);
    else this.#pending.push({ channel, payload, done });
    const settled = () => void (this.#bytes -= size);
    done.promise.then(settled, settled);
    return done.promise;
  }

  /** Disconnects, after what was published has gone out, but within two seconds. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#wake?.();
    this.#rejectPending(closedError());
    for (const state of this.#topics.values()) this.#settle(state, closedError());
    const session = this.#session;
    this.#session = null;
    if (session === null) return;
    if (this.#live) {
      let timer;
      const timeout = new Promise<void>((resolve) => timer = setTimeout(resolve, CLOSE_TIMEOUT));
      await Promise.race([session.close().catch(() => {}), timeout]);
      clearTimeout(timer);
    }
    session.destroy();
  }

  async #connect(): Promise<void> {
    for (let pause = FIRST_PAUSE; !this.#closed; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      let trouble: unknown;
      const session = makeSession(this.#options, (error) => {
        trouble ??= error;
        if (this.#live) this.#lost(session, error);
        else if (this.#session === session) this.#session = null;
      });
      try {
        await session.connect();
        this.#session = session;
        await Promise.all([...this.#topics].map(([topic, state]) => this.#sync(topic, state)));
        if (trouble !== undefined) throw trouble;
        if (this.#closed) break;
        this.#resume(session);
        return;
      } catch (error) {
        if (this.#session === session) this.#session = null;
        // The client's own error sums up; what Redis said came before.
        trouble ??= error;
        session.destroy();
        if (this.#closed) break;
        const words = String((trouble as Error).message ?? trouble);
        if (REFUSALS.test(words)) throw this.#refuse(words, trouble);
        if (pause === FIRST_PAUSE && this.#lostAt === 0) {
          this.#link.error(
            new BrokerError(`Cannot connect to Redis yet: ${words}`, { cause: trouble }),
          );
        }
      }
      await this.#rest(pause * (0.5 + Math.random()));
    }
    throw closedError();
  }

  #resume(session: Session): void {
    this.#session = session;
    this.#live = true;
    const pending = this.#pending;
    this.#pending = [];
    for (const { channel, payload, done } of pending) this.#send(channel, payload, done);
    if (this.#lostAt === 0) return;
    const topics = [...this.#topics].filter(([, { wanted }]) => wanted).map(([topic]) => topic);
    const gap = { since: this.#lostAt, until: Date.now(), topics, unsent: this.#unsent };
    this.#lostAt = 0;
    this.#unsent = 0;
    this.#link.gap({ ...gap, cause: this.#lostBy });
  }

  #lost(session: Session, error: unknown): void {
    if (this.#session !== session || this.#closed) return;
    this.#session = null;
    this.#live = false;
    this.#lostAt = Date.now();
    this.#lostBy = error;
    session.destroy();
    this.#link.error(
      new BrokerError(`Lost the connection to Redis: ${(error as Error).message}`, {
        cause: error,
      }),
    );
    this.#connect().catch((refusal) => {
      if (!this.#closed) this.#link.error(refusal);
    });
  }

  #send(channel: string, payload: Uint8Array, done: PromiseWithResolvers<void>): void {
    const session = this.#session!;
    session.publish(channel, payload).then(() => done.resolve(), (error) => {
      if (this.#session !== session) this.#unsent++;
      done.reject(
        new BrokerError(`Cannot relay a publication: ${error.message}`, { cause: error }),
      );
    });
  }

  /** Brings a topic's subscription in line with what is wanted, one step at a time. */
  async #sync(topic: string, state: Topic): Promise<void> {
    if (state.busy) return;
    state.busy = true;
    for (let session = this.#session; session !== null; session = this.#session) {
      try {
        if (state.wanted && state.on !== session) {
          await session.subscribe(this.#prefix + topic, (bytes) => this.#received(topic, bytes));
          state.on = session;
          this.#settle(state, null);
        } else if (!state.wanted && state.on === session) {
          state.on = null;
          await session.unsubscribe(this.#prefix + topic);
        } else {
          if (state.wanted) this.#settle(state, null);
          break;
        }
      } catch (error) {
        // Where the session was lost, the next one subscribes.
        if (this.#session !== session) continue;
        const words = (error as Error).message;
        this.#settle(
          state,
          new BrokerError(`Cannot subscribe to a topic: ${words}`, { cause: error }),
        );
        break;
      }
    }
    state.busy = false;
    if (!state.wanted && this.#topics.get(topic) === state) this.#topics.delete(topic);
  }

  #received(topic: string, bytes: Uint8Array): void {
    try {
      const message = this.#envelope.unpack(bytes);
      if (message !== null) this.#link.deliver(topic, message);
    } catch (error) {
      this.#link.error(error);
    }
  }

  #settle(state: Topic, error: unknown): void {
    for (const { resolve, reject } of state.waiters.splice(0)) {
      if (error === null) resolve();
      else reject(error);
    }
  }

  #refuse(words: string, cause: unknown): BrokerError {
    const refusal = this.#refusal = new BrokerError(`Redis refuses: ${words}`, { cause });
    this.#rejectPending(refusal);
    for (const state of this.#topics.values()) this.#settle(state, refusal);
    return refusal;
  }

  #rejectPending(error: unknown): void {
    for (const { done } of this.#pending.splice(0)) done.reject(error);
  }

  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function closedError(): BrokerError {
  return new BrokerError("Cannot use a broker whose context was shut down");
}
