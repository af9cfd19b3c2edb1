import { QueueFullError, TimeoutError } from "../../errors.ts";
import { printable } from "../../util/quote.ts";
import { startTimer, within } from "../../util/timers.ts";
import {
  type Broker,
  brokerClosed,
  BrokerError,
  type BrokerLink,
  type BrokerMessage,
} from "./broker.ts";
import { Envelope, PUBLICATION_OVERHEAD } from "./envelope.ts";
import {
  type RedisBrokerOptions,
  type RedisBrokerSettings,
  redisSettings,
} from "./redis_options.ts";
import { makeSession, type Session } from "./redis_session.ts";

interface Topic {
  wanted: boolean;
  /** The session that it is subscribed on. */
  on: Session | null;
  /** The session on which a step is in progress. */
  busy: Session | null;
  waiters: PromiseWithResolvers<void>[];
}

interface Pending {
  channel: string;
  payload: Uint8Array;
  done: PromiseWithResolvers<void>;
}

const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 2000;
/** After a session that lived this long, in ms, the back-off starts over. */
const SETTLED = 2000;
/** In ms, for each address that is tried, and for the handshake: a Redis may accept and then never answer. */
const CONNECT_TIMEOUT = 5000;
const CLOSE_TIMEOUT = 2000;
/** If this process was stopped for some time, its timer fires before it reads the answers that arrived in that time. */
const GRACE = 100;
const REFUSALS = /^(WRONGPASS|NOAUTH|NOPERM|ERR .*(AUTH|password))/i;

/**
 * Connects contexts on many machines through Redis.
 *
 * - A topic is subscribed at Redis only while a local connection has subscribed to it.
 * - A lost connection is restored automatically, with all subscriptions. Redis keeps no messages for absent clients, so
 *   those of that time are missed; `onBrokerGap` reports the time and the topics.
 * - A ping every few seconds finds a connection that is dead without having been closed; see `keepAlive`.
 * - Without a connection to Redis publications wait, up to `maxPendingBytes`; then `relayed` rejects.
 * - If Redis refuses for good, for example because of the password, `ctx.ready` and every publication fail.
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
  readonly #settings: RedisBrokerSettings;
  readonly #envelope = new Envelope();
  readonly #topics = new Map<string, Topic>();
  #link!: BrokerLink;
  /** The session that is being connected. */
  #connecting: Session | null = null;
  /** The connected session, which gets subscriptions, and publications once it is `#live`. */
  #session: Session | null = null;
  #live = false;
  #liveSince = 0;
  #pause = 0;
  #pending: Pending[] = [];
  #bytes = 0;
  #unsent = 0;
  #reported = false;
  #lostAt = 0;
  #lostBy: unknown;
  #refusal: BrokerError | null = null;
  #closed = false;
  #wake: (() => void) | null = null;
  #stopBeat: (() => void) | null = null;
  /** Whether Redis has sent anything since the last ping. */
  #heard = false;

  /**
   * Makes a broker for one context; it connects when the context is made.
   *
   * @param options The address of Redis, credentials, and limits.
   * @throws {TypeError | RangeError} If an option is invalid, such as both `url` and `cluster`.
   */
  constructor(options: RedisBrokerOptions = {}) {
    this.#settings = redisSettings(options);
  }

  /** Connects. Called by the context. */
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
      state = { wanted: false, on: null, busy: null, waiters: [] };
      this.#topics.set(topic, state);
    }
    state.wanted = true;
    const waiter = Promise.withResolvers<void>();
    state.waiters.push(waiter);
    const refusal = this.#closed ? brokerClosed() : this.#refusal;
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
    if (this.#closed) return Promise.reject(brokerClosed());
    const size = message.payload.length + PUBLICATION_OVERHEAD;
    const { maxPendingBytes: most, prefix } = this.#settings;
    if (this.#bytes + size > most) {
      this.#unsent++;
      return Promise.reject(
        new QueueFullError(
          `Cannot relay a publication: ${this.#bytes} of ${most} bytes wait for Redis`,
          message.payload,
        ),
      );
    }
    this.#bytes += size;
    const channel = prefix + topic, payload = this.#envelope.pack(message);
    const done = Promise.withResolvers<void>();
    if (this.#live) this.#send(channel, payload, done);
    else this.#pending.push({ channel, payload, done });
    const settled = () => void (this.#bytes -= size);
    done.promise.then(settled, settled);
    return done.promise;
  }

  /** Sends the accepted publications, then disconnects, within two seconds. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#wake?.();
    this.#stopBeat?.();
    this.#rejectPending(brokerClosed());
    for (const state of this.#topics.values()) this.#settle(state, brokerClosed());
    this.#connecting?.destroy();
    const session = this.#session;
    this.#session = null;
    if (session === null) return;
    if (this.#live) await within(CLOSE_TIMEOUT, session.close());
    session.destroy();
  }

  async #connect(): Promise<void> {
    for (;;) {
      if (this.#pause > 0) await this.#rest(this.#pause * (0.5 + Math.random()));
      if (this.#closed) throw brokerClosed();
      const failure = await this.#attempt();
      if (failure === null) return;
      if (this.#closed) throw brokerClosed();
      const { error } = failure, words = wordsOf(error);
      if (REFUSALS.test(words)) throw this.#refuse(words, error);
      this.#backOff();
      if (this.#reported || this.#lostAt > 0) continue;
      this.#reported = true;
      this.#link.error(
        new BrokerError(`Cannot connect to Redis yet: ${words}`, { cause: error }),
      );
    }
  }

  /** Tries to connect once; returns the error, or `null`. */
  async #attempt(): Promise<{ error: unknown } | null> {
    // The first error has the reason; the client's own error is only a summary.
    let first: { error: unknown } | null = null, lost = false;
    const session = makeSession(this.#settings, {
      trouble: (error) => {
        first ??= { error };
        this.#lost(session, error);
      },
      lost: (error) => {
        first ??= { error };
        lost = true;
        this.#lost(session, error);
      },
    });
    this.#connecting = session;
    try {
      const { url } = this.#settings, tries = typeof url === "string" ? 1 : url.length;
      const connected = session.connect(), timeout = CONNECT_TIMEOUT * (tries + 1);
      if (!await within(timeout, connected)) {
        throw new TimeoutError(`Redis has not answered for ${timeout} ms`);
      }
      await connected;
      this.#connecting = null;
      if (this.#closed) throw brokerClosed();
      if (lost) throw first;
      this.#session = session;
      this.#beat(session);
      await Promise.all([...this.#topics].map(([topic, state]) => this.#sync(topic, state)));
      if (this.#session !== session) throw first;
      this.#resume();
      return null;
    } catch (error) {
      this.#connecting = null;
      if (this.#session === session) this.#session = null;
      session.destroy();
      return first ?? { error };
    }
  }

  /** Pings at intervals, and ends a session that doesn't answer. */
  #beat(session: Session): void {
    const { interval, timeout } = this.#settings;
    this.#stopBeat?.();
    this.#stopBeat = startTimer(interval, async () => {
      this.#heard = false;
      const answered = session.ping();
      // The answer may come after many publications, so these count as signs of life, too.
      const alive = await within(timeout, answered) || this.#heard || await within(GRACE, answered);
      if (this.#session !== session) return;
      if (alive) this.#beat(session);
      else this.#lost(session, new TimeoutError(`Redis has not answered a ping for ${timeout} ms`));
    });
  }

  #resume(): void {
    this.#live = true;
    this.#liveSince = performance.now();
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

  /** A connected session has failed. */
  #lost(session: Session, error: unknown): void {
    if (this.#session !== session || this.#closed) return;
    this.#session = null;
    this.#stopBeat?.();
    session.destroy();
    // If it was still subscribing, `#attempt` handles it.
    if (!this.#live) return;
    this.#live = false;
    this.#lostAt = Date.now();
    this.#lostBy = error;
    // If Redis accepts and drops at once, there must not be hundreds of attempts a second.
    if (performance.now() - this.#liveSince >= SETTLED) this.#pause = 0;
    else this.#backOff();
    this.#link.error(
      new BrokerError(`Lost the connection to Redis: ${wordsOf(error)}`, { cause: error }),
    );
    this.#connect().catch((refusal) => {
      if (!this.#closed) this.#link.error(refusal);
    });
  }

  #backOff(): void {
    this.#pause = Math.min(Math.max(FIRST_PAUSE, this.#pause * 2), LONGEST_PAUSE);
  }

  #send(channel: string, payload: Uint8Array, done: PromiseWithResolvers<void>): void {
    const session = this.#session!;
    session.publish(channel, payload).then(() => {
      this.#heard = true;
      done.resolve();
    }, (error) => {
      if (this.#session !== session) this.#unsent++;
      done.reject(
        new BrokerError(`Cannot relay a publication: ${wordsOf(error)}`, { cause: error }),
      );
    });
  }

  /** Subscribes or unsubscribes a topic as wanted, one step at a time. */
  async #sync(topic: string, state: Topic): Promise<void> {
    const session = this.#session, channel = this.#settings.prefix + topic;
    if (session === null || state.busy === session) return;
    state.busy = session;
    try {
      // If the session is lost, the next one subscribes.
      while (this.#session === session && state.wanted !== (state.on === session)) {
        if (state.wanted) {
          await session.subscribe(channel, (bytes) => this.#received(topic, bytes));
          state.on = session;
          this.#heard = true;
        } else {
          state.on = null;
          await session.unsubscribe(channel);
        }
      }
      if (this.#session === session && state.wanted) this.#settle(state, null);
    } catch (error) {
      if (this.#session === session) {
        this.#settle(
          state,
          new BrokerError(`Cannot subscribe to a topic: ${wordsOf(error)}`, { cause: error }),
        );
      }
    }
    if (state.busy !== session) return;
    state.busy = null;
    if (!state.wanted && this.#topics.get(topic) === state) this.#topics.delete(topic);
  }

  #received(topic: string, bytes: Uint8Array): void {
    this.#heard = true;
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
      const stop = startTimer(ms, resolve);
      this.#wake = () => {
        stop();
        resolve();
      };
    });
  }
}

function wordsOf(error: unknown): string {
  const words = error instanceof Error && error.message !== "" ? error.message : String(error);
  return printable(words);
}
