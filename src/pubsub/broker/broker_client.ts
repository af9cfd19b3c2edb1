import type { Broker, BrokerGap, BrokerLink, BrokerMessage } from "./broker.ts";

/** What a context does with what its broker reports. */
export interface BrokerReports {
  /** A gap in what was received is over. */
  onBrokerGap?(gap: BrokerGap): void;
  /** The broker was lost, or has failed. */
  onBrokerError?(error: unknown): void;
}

/** A context's end of its broker: which topics it wants, whether it is ready, and what it reports. */
export class BrokerClient implements BrokerLink {
  readonly #broker: Broker;
  readonly #reports: BrokerReports;
  readonly #onMessage: (topic: string, message: BrokerMessage) => void;
  readonly #started: Promise<void>;
  readonly #subscribing = new Set<Promise<void>>();
  #refusal: { error: unknown } | null = null;
  #closed = false;

  constructor(
    broker: Broker,
    reports: BrokerReports,
    onMessage: (topic: string, message: BrokerMessage) => void,
  ) {
    this.#broker = broker;
    this.#reports = reports;
    this.#onMessage = onMessage;
    this.#started = broker.start(this);
    this.#started.catch((error) => this.#refusal = { error });
  }

  /** Resolves when the broker is connected and has all subscriptions that were asked for so far. */
  get ready(): Promise<void> {
    const ready = Promise.all([this.#started, ...this.#subscribing]).then(() => {});
    ready.catch(() => {});
    return ready;
  }

  subscribe(topic: string): void {
    const done = this.#broker.subscribe(topic);
    this.#subscribing.add(done);
    done.catch((error) => {
      // A broker that has refused everything said so once, and after a shutdown nobody asks.
      if (this.#refusal === null && !this.#closed) this.error(error);
    }).then(() => this.#subscribing.delete(done));
  }

  unsubscribe(topic: string): void {
    this.#broker.unsubscribe(topic);
  }

  /** Relays a publication; throws where the broker has refused for good. */
  publish(topic: string, message: BrokerMessage): Promise<void> {
    if (this.#refusal !== null) throw this.#refusal.error;
    const relayed = this.#broker.publish(topic, message);
    relayed.catch(() => {});
    return relayed;
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.#broker.close();
  }

  deliver(topic: string, message: BrokerMessage): void {
    try {
      this.#onMessage(topic, message);
    } catch (error) {
      this.error(error);
    }
  }

  gap(gap: BrokerGap): void {
    const { onBrokerGap } = this.#reports;
    if (onBrokerGap === undefined) {
      console.error(
        `Publications of other contexts may have been missed for ${gap.until - gap.since} ms:`,
        gap.cause,
      );
    } else {
      guarded("onBrokerGap", () => onBrokerGap(gap));
    }
  }

  error(error: unknown): void {
    const { onBrokerError } = this.#reports;
    if (onBrokerError === undefined) console.error("The broker has failed:", error);
    else guarded("onBrokerError", () => onBrokerError(error));
  }
}

function guarded(name: string, callback: () => void): void {
  try {
    callback();
  } catch (error) {
    console.error(`An ${name} callback failed:`, error);
  }
}
