import { Alarm, type Timers } from "./timers.ts";

// How long accepting rests after it has failed (no descriptors left, say), growing up to the second.
const FIRST = 20;
const LONGEST = 1000;
// A failure so long after the last one is news again.
const NEWS = 60_000;

/** Rests between attempts to accept that fail, and says so once, however often they do. */
export class AcceptPause {
  readonly #timers: Timers;
  #next = FIRST;
  #failedAt = -Infinity;
  #alarm: Alarm | null = null;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** A connection was accepted. */
  succeeded(): void {
    this.#next = FIRST;
  }

  /** Rests after a failure. */
  failed(error: unknown): Promise<void> {
    const now = performance.now();
    if (now - this.#failedAt > NEWS) {
      console.error("Accepting WebSocket connections has failed, and is tried again:", error);
    }
    this.#failedAt = now;
    const rest = this.#next;
    this.#next = Math.min(rest * 2, LONGEST);
    return new Promise((resolve) => {
      this.#alarm = new Alarm(resolve);
      this.#timers.set(this.#alarm, rest);
    });
  }

  /** Ends a rest at once. */
  end(): void {
    if (this.#alarm === null) return;
    this.#timers.clear(this.#alarm);
    this.#alarm.fire();
  }
}
