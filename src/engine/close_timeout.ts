import { IdleTimer } from "../util/idle_timer.ts";
import type { Timers } from "../util/timers.ts";

/** What the close timeout needs of a connection. */
export interface ClosingPeer {
  readonly owner: { readonly timers: Timers };
  readonly settings: { readonly closeTimeout: number };
  /** Grows with every byte that the kernel takes, and with what is still delivered. */
  closeProgress(): number;
  /** Whether the application holds up the end on purpose. */
  closeIsExempt(): boolean;
  closeTimedOut(): void;
}

/** Ends a close that makes no progress: it starts again with every byte that the kernel takes. */
export class CloseTimeout extends IdleTimer {
  readonly #peer: ClosingPeer;

  constructor(peer: ClosingPeer) {
    super();
    this.#peer = peer;
  }

  protected override get timers(): Timers {
    return this.#peer.owner.timers;
  }

  protected override get interval(): number {
    return this.#peer.settings.closeTimeout;
  }

  protected override progress(): number {
    return this.#peer.closeProgress();
  }

  protected override isExempt(): boolean {
    return this.#peer.closeIsExempt();
  }

  protected override expired(): void {
    this.#peer.closeTimedOut();
  }
}
