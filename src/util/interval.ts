import { callForeign } from "./foreign.ts";
import { Timer, type Timers } from "./timers.ts";

/** Calls a function at an interval. Calls never overlap: those that are due during a slow one are left out. */
export class Interval extends Timer {
  readonly #timers: Timers;
  readonly #interval: number;
  readonly #tick: () => unknown;
  readonly #start = performance.now();
  #stopped = false;

  /** @param tick The function to call; its failures are reported to the console. */
  constructor(timers: Timers, interval: number, tick: () => unknown) {
    super();
    this.#timers = timers;
    this.#interval = interval;
    this.#tick = tick;
    timers.set(this, interval);
  }

  override fire(): void {
    const settled = callForeign(this.#tick, report);
    if (settled === null) this.#next();
    else settled.then(() => this.#next());
  }

  /** Stops. An asynchronous call that has begun isn't interrupted. */
  stop(): void {
    this.#stopped = true;
    this.#timers.clear(this);
  }

  #next(): void {
    if (this.#stopped) return;
    // Measured from the start, so that delays don't add up.
    const elapsed = performance.now() - this.#start;
    this.#timers.set(this, this.#interval - elapsed % this.#interval);
  }
}

function report(error: unknown): void {
  console.error("An onTick callback failed:", error);
}
