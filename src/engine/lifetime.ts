import { Timer, type Timers } from "../util/timers.ts";
import { GOING_AWAY } from "../protocol/close_code.ts";

// The part of `maxLifetime` after which connections end, at random: what was opened together doesn't end together.
const SPREAD = 0.1;

/** What a lifetime needs of its connection. */
export interface Mortal {
  readonly owner: { readonly timers: Timers };
  readonly settings: { readonly maxLifetime: number };
  close(code: number, reason: string): void;
}

/** Closes a connection that has reached its age. */
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

  /** The connection ends by itself. */
  stop(): void {
    this.#conn.owner.timers.clear(this);
  }
}
