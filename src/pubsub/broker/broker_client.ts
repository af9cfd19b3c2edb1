import { refusal } from "../../util/check.ts";
import { callForeign } from "../../util/foreign.ts";
import { within } from "../../util/timers.ts";
import { slowPolicy } from "../options.ts";
import {
  type Broker,
  BrokerError,
  type BrokerGap,
  type BrokerLink,
  type BrokerMessage,
} from "./broker.ts";

/**
 * What a context does with what its broker reports.
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
  /** A gap in what was received is over. */
  onBrokerGap?(gap: BrokerGap): void;
  /** The broker was lost, or has failed. */
  onBrokerError?(error: unknown): void;
}

const METHODS = ["start", "subscribe", "unsubscribe", "publish", "close"] as const;

/**
 * A context's end of its broker: which topics it wants, whether it is ready, and what it reports.
 *
 * A broker may be the application's own, so each of its methods may throw, reject, return any thenable, never settle, or
 * call back at any time. None of that reaches the connections: callers that wait get it, or `onBrokerError` does.
 */
export class BrokerClient implements BrokerLink {
  readonly #broker: Broker;
  readonly #reports: BrokerReports;
  readonly #onMessage: (topic: string, message: BrokerMessage) => void;
  readonly #started = Promise.withResolvers<void>();
  /** Subscriptions that the broker hasn't confirmed, by topic. */
  readonly #subscribing = new Map<string, PromiseWithResolvers<void>>();
  #refusal: { error: unknown } | null = null;
  /** Whether anybody has asked for `ready`, and so learns of a refusal. */
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

  /** Resolves when the broker is connected and has all subscriptions that were asked for so far. */
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
      // A broker that has refused everything said so once, and after a shutdown errors are of no use.
      if (this.#refusal === null) this.error(error);
    });
    settle(done, () => this.#broker.subscribe(topic));
  }

  unsubscribe(topic: string): void {
    // No caller has to wait for what isn't wanted any more.
    this.#subscribing.get(topic)?.resolve();
    this.#subscribing.delete(topic);
    callForeign(() => this.#broker.unsubscribe(topic), (error) => this.error(error));
  }

  /**
   * Relays a publication.
   *
   * @throws What the broker has refused everything with.
   */
  publish(topic: string, message: BrokerMessage): Promise<void> {
    if (this.#refusal !== null && !this.#closed) throw this.#refusal.error;
    const relayed = resolved(() => {
      if (this.#closed) throw closedError();
      return this.#broker.publish(topic, message);
    });
    relayed.catch(() => {});
    return relayed;
  }

  /** Ends the broker; resolves when it has let go of everything, but at `timeout` ms at the latest. */
  async close(timeout: number): Promise<void> {
    this.#closed = true;
    const ended = callForeign(() => this.#broker.close(), (error) => this.#report(error));
    // A broker that never settles these would leave callers that wait for `ready` waiting.
    this.#started.reject(closedError());
    for (const done of this.#subscribing.values()) done.reject(closedError());
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

/** Calls what may throw or return anything; a promise of what it has returned. */
function resolved(call: () => unknown): Promise<void> {
  try {
    return Promise.resolve(call()) as Promise<void>;
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Settles a promise as a call does. */
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

function closedError(): BrokerError {
  return new BrokerError("Cannot use a broker whose context was shut down");
}

function guarded(name: string, callback: () => unknown): void {
  callForeign(callback, (error) => console.error(`An ${name} callback failed:`, error));
}
