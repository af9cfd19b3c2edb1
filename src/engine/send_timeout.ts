import type { WritePump } from "../flow/write_pump.ts";
import type { Timers } from "../util/timers.ts";
import { IdleTimer } from "../util/idle_timer.ts";

/** What the send timeout needs from a sender. */
export interface Sending {
  readonly timers: Timers;
  readonly settings: { readonly sendTimeout: number };
  readonly writer: WritePump;
  sendTimedOut(): void;
}

/** Notices a peer that reads nothing while data is queued. */
export class SendTimeout extends IdleTimer {
  readonly #peer: Sending;

  constructor(peer: Sending) {
    super();
    this.#peer = peer;
  }

  /** Starts the timer, unless it runs already. */
  arm(): void {
    if (this.index < 0) this.start();
  }

  override fire(): void {
    // With an empty queue it stops; the next send arms it again.
    if (!this.#peer.writer.idle) super.fire();
  }

  protected override get timers(): Timers {
    return this.#peer.timers;
  }

  protected override get interval(): number {
    return this.#peer.settings.sendTimeout;
  }

  protected override progress(): number {
    return this.#peer.writer.taken;
  }

  protected override isExempt(): boolean {
    return this.#peer.writer.waiting;
  }

  protected override expired(): void {
    this.#peer.sendTimedOut();
  }
}
