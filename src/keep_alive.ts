import { Watchdog, type Watched } from "./watchdog.ts";
import type { Timers } from "./timers.ts";

/** Pings a silent peer, and reports one that stays silent. */
export class KeepAlive extends Watchdog {
  readonly #interval: number;
  readonly #timeout: number;
  readonly #peer: Watched & { keepAlivePing(): void; keepAliveFailed(timeout: number): void };
  #pinged = false;

  constructor(
    timers: Timers,
    options: { interval: number; timeout: number },
    peer: Watched & { keepAlivePing(): void; keepAliveFailed(timeout: number): void },
  ) {
    super(timers, peer);
    this.#interval = options.interval;
    this.#timeout = options.timeout;
    this.#peer = peer;
    this.start(this.#interval);
  }

  protected override progressed(): void {
    if (!this.#pinged) return;
    this.#pinged = false;
    this.start(this.#interval);
  }

  protected override expired(): void {
    if (this.#pinged) {
      this.#peer.keepAliveFailed(this.#timeout);
    } else {
      this.#pinged = true;
      this.#peer.keepAlivePing();
      // An answer must not be noticed late by the measure of a long timeout: the interval begins with it.
      this.start(this.#timeout, this.#interval);
    }
  }
}
