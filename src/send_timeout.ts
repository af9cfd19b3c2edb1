import type { WritePump } from "./flow/write_pump.ts";
import type { Timers } from "./timers.ts";
import { Watchdog } from "./watchdog.ts";

/** Notices a peer that takes nothing while data are queued. */
export class SendTimeout extends Watchdog {
  readonly #timeout: number;
  readonly #peer: { readonly writer: WritePump; sendTimedOut(): void };

  constructor(
    timers: Timers,
    timeout: number,
    peer: { readonly writer: WritePump; sendTimedOut(): void },
  ) {
    const { writer } = peer;
    super(timers, {
      progress: () => writer.written,
      excused: () => writer.waiting,
    });
    this.#timeout = timeout;
    this.#peer = peer;
  }

  /** Watches from now on, unless it does already. */
  arm(): void {
    if (this.index < 0) this.start(this.#timeout);
  }

  override fire(): void {
    // Nothing is queued; the next send arms it again.
    if (!this.#peer.writer.idle) super.fire();
  }

  protected override expired(): void {
    this.#peer.sendTimedOut();
  }
}
