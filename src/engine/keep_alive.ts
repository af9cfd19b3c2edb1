import { IdleTimer } from "../util/idle_timer.ts";
import type { Timers } from "../util/timers.ts";

/** What keepalive needs from a connection. */
export interface KeptAlive {
  readonly owner: { readonly timers: Timers };
  readonly settings: { readonly keepAlive: { interval: number; timeout: number } | null };
  /** Grows with every byte received or taken. */
  progress(): number;
  /** Whether reading has stopped, so that a pong couldn't be seen. */
  readingStopped(): boolean;
  keepAlivePing(): void;
  keepAliveFailed(timeout: number): void;
}

/** Pings a silent peer, and reports one that stays silent. */
export class KeepAlive extends IdleTimer {
  readonly #peer: KeptAlive;
  #pinged = false;

  constructor(peer: KeptAlive) {
    super();
    this.#peer = peer;
    this.start();
  }

  protected override get timers(): Timers {
    return this.#peer.owner.timers;
  }

  protected override get interval(): number {
    const { interval, timeout } = this.#peer.settings.keepAlive!;
    return this.#pinged ? timeout : interval;
  }

  protected override get shortest(): number {
    // With a long timeout, an answer must still be noticed early: the next interval begins with it.
    return this.#peer.settings.keepAlive!.interval;
  }

  protected override progress(): number {
    return this.#peer.progress();
  }

  protected override isExempt(): boolean {
    return this.#peer.readingStopped();
  }

  protected override onProgress(): void {
    this.#pinged = false;
  }

  protected override expired(): void {
    if (this.#pinged) {
      this.#peer.keepAliveFailed(this.interval);
    } else {
      this.#pinged = true;
      this.#peer.keepAlivePing();
      this.start();
    }
  }
}
