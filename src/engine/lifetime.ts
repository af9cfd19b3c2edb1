import { Timer, type Timers } from "../util/timers.ts";
import { GOING_AWAY } from "../protocol/close_code.ts";

// Connections end up to this part of `maxLifetime` early, at random: those opened together must not end together.
const SPREAD = 0.1;

/** What a lifetime needs from its connection. */
export interface Mortal {
  readonly owner: { readonly timers: Timers };
  readonly settings: { readonly maxLifetime: number };
  close(code: number, reason: string): void;
}

/** Closes a connection that has reached its maximum age. */
export class Lifetime extends Timer {
  readonly #conn: Mortal;

  constructor(conn: Mortal) {
    super();
    this.#conn = conn;
    conn.owner.timers.set(this, conn.settings.maxLifetime * (1 - SPREAD * Math.random()));
  }

  override fire(): void {
    this.#conn.close(GOING_AWAY, "");
  }

  /** The connection is closing already. */
  stop(): void {
    this.#conn.owner.timers.clear(this);
  }
}
