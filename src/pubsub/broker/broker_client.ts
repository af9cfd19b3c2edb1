import { refusal } from "../../util/check.ts";
import { callForeign } from "../../util/foreign.ts";
import { within } from "../../util/timers.ts";
import { slowPolicy } from "../options.ts";
import {
  type Broker,
  brokerClosed,
  type BrokerGap,
  type BrokerLink,
  type BrokerMessage,
} from "./broker.ts";

/**
 * The callbacks of a context for reports of its broker.
 *
 * @example
 * ```ts
 * import { Context, WorkerBroker, WorkerHub } from "@sluice/websocket";
 *
 * const hub = new WorkerHub();
 * await using ctx = new Context({
 *   broker: new WorkerBroker(hub.connect().port),
 *   onBrokerGap: ({ since, until, topics }) => console.warn("may have missed", topics, since, until),
 *   onBrokerError: (error) => console.error(error),
 * });
 * await ctx.ready;
 * ```
 */
export interface BrokerReports {
  /** A time in which publications of other contexts may have been missed is over. Default: a message on the console. */
  onBrokerGap?(gap: BrokerGap): void;
  /** The connection of the broker was lost, or the broker has failed. Default: a message on the console. */
  onBrokerError?(error: unknown): void;
}

const METHODS = ["start", "subscribe", "unsubscribe", "publish", "close"] as const;

/**
 * A context's side of its broker: it subscribes, publishes, and gets the reports.
 *
 * The application may implement a broker, so each method may throw, reject, return a hostile thenable, never settle, or call
 * back at any time. No such error reaches the connections: it rejects the promises that wait, or goes to `onBrokerError`.
 */
export class BrokerClient implements BrokerLink {
  readonly #broker: Broker;
  readonly #reports: BrokerReports;
  readonly #onMessage: (topic: string, message: BrokerMessage) => void;
  readonly #started = Promise.withResolvers<void>();
  /** Subscriptions that the broker hasn't confirmed, by topic. */
  readonly #subscribing = new Map<string, PromiseWithResolvers<void>>();
  #refusal: { error: unknown } | null = null;
  /** Whether `ready` was read, so that its promise reports a refusal. */
  #asked = false;
  #closed = false;

  /**
   * Starts a broker.
   *
   * @throws {TypeError} If it lacks a method.
   */
  constructor(
    broker: Broker,
    reports: BrokerReports,
    onMessage: (topic: string, message: BrokerMessage) => void,
  ) {
    for (const name of METHODS) {
      if (typeof (broker as Partial<Broker> | null)?.[name] !== "function") {
        const allowed = `an object with the method ${name}`;
        throw refusal("make a context with broker", broker, allowed);
      }
    }
    this.#broker = broker;
    this.#reports = reports;
    this.#onMessage = onMessage;
    this.#started.promise.catch((error) => this.#refused(error));
    settle(this.#started, () => broker.start(this));
  }

  /** Resolves when the broker is connected and has confirmed all subscriptions so far. */
  get ready(): Promise<void> {
    this.#asked = true;
    const waiting = [this.#started, ...this.#subscribing.values()];
    const ready = Promise.all(waiting.map(({ promise }) => promise)).then(() => {});
    ready.catch(() => {});
    return ready;
  }

  subscribe(topic: string): void {
    const done = Promise.withResolvers<void>();
    this.#subscribing.set(topic, done);
    const settled = () => {
      if (this.#subscribing.get(topic) === done) this.#subscribing.delete(topic);
    };
    done.promise.then(settled, (error) => {
      settled();
      // The refusal of a broker was reported once already.
      if (this.#refusal === null) this.error(error);
    });
    settle(done, () => this.#broker.subscribe(topic));
  }

  unsubscribe(topic: string): void {
    // `ready` needn't wait for this subscription any more.
    this.#subscribing.get(topic)?.resolve();
    this.#subscribing.delete(topic);
    callForeign(() => this.#broker.unsubscribe(topic), (error) => this.error(error));
  }

  /**
   * Relays a publication.
   *
   * @throws The error of a broker that has refused for good.
   */
  publish(topic: string, message: BrokerMessage): Promise<void> {
    if (this.#refusal !== null && !this.#closed) throw this.#refusal.error;
    const relayed = resolved(() => {
      if (this.#closed) throw brokerClosed();
      return this.#broker.publish(topic, message);
    });
    relayed.catch(() => {});
    return relayed;
  }

  /** Closes the broker; resolves when it has closed, or after `timeout` ms. */
  async close(timeout: number): Promise<void> {
    this.#closed = true;
    const ended = callForeign(() => this.#broker.close(), (error) => this.#report(error));
    // The broker may never settle these, but `ready` must.
    this.#started.reject(brokerClosed());
    for (const done of this.#subscribing.values()) done.reject(brokerClosed());
    if (ended !== null) await within(timeout, ended);
  }

  deliver(topic: string, message: BrokerMessage): void {
    if (this.#closed) return;
    try {
      checkMessage(message);
      this.#onMessage(topic, message);
    } catch (error) {
      this.error(error);
    }
  }

  gap(gap: BrokerGap): void {
    if (this.#closed) return;
    const { onBrokerGap } = this.#reports;
    if (onBrokerGap !== undefined) return guarded("onBrokerGap", () => onBrokerGap(gap));
    console.error(
      `Publications of other contexts may have been missed for ${gap?.until - gap?.since} ms:`,
      gap?.cause,
    );
  }

  error(error: unknown): void {
    if (!this.#closed) this.#report(error);
  }

  #refused(error: unknown): void {
    this.#refusal = { error };
    if (!this.#asked) this.error(error);
  }

  #report(error: unknown): void {
    const { onBrokerError } = this.#reports;
    if (onBrokerError === undefined) console.error("The broker has failed:", error);
    else guarded("onBrokerError", () => onBrokerError(error));
  }
}

/** Calls a function that may throw or return anything; returns a promise of its result. */
function resolved(call: () => unknown): Promise<void> {
  try {
    return Promise.resolve(call()) as Promise<void>;
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Settles a promise with the outcome of a call. */
function settle(done: PromiseWithResolvers<void>, call: () => unknown): void {
  resolved(call).then(() => done.resolve(), done.reject);
}

function checkMessage(message: BrokerMessage): void {
  if (!(message?.payload instanceof Uint8Array)) {
    throw new TypeError(
      `Cannot deliver a publication without a Uint8Array: received ${typeof message?.payload}`,
    );
  }
  slowPolicy("deliver", message.slow);
}

function guarded(name: string, callback: () => unknown): void {
  callForeign(callback, (error) => console.error(`An ${name} callback failed:`, error));
}
