import type { WritePump } from "../flow/write_pump.ts";
import { IdleTimer } from "../util/idle_timer.ts";
import type { Timers } from "../util/timers.ts";

/** What the close timeout needs of a connection. */
export interface ClosingPeer {
  readonly owner: { readonly timers: Timers };
  readonly settings: { readonly closeTimeout: number };
  readonly writer: WritePump;
  closeTimedOut(): void;
}

/** Ends a close that makes no progress: it starts anew with every byte that the kernel takes. */
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
    return this.#peer.writer.taken;
  }

  protected override isExempt(): boolean {
    return false;
  }

  protected override expired(): void {
    this.#peer.closeTimedOut();
  }
}
