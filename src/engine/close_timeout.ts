import { IdleTimer } from "../util/idle_timer.ts";
import type { Timers } from "../util/timers.ts";

/** What the close timeout needs from a connection. */
export interface ClosingPeer {
  readonly owner: { readonly timers: Timers };
  readonly settings: { readonly closeTimeout: number };
  /** Grows with every byte that the kernel takes, and with every message that is still delivered. */
  closeProgress(): number;
  /** Whether the application delays the end on purpose, so that time doesn't count. */
  closeIsExempt(): boolean;
  closeTimedOut(): void;
}

/** Ends a close that makes no progress. The timeout restarts with every byte that the kernel takes. */
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
