import { callForeign } from "./foreign.ts";
import { Timer, type Timers } from "./timers.ts";

/** Calls a function at an interval, never twice at once; beats that fall into a slow call are left out. */
export class Interval extends Timer {
  readonly #timers: Timers;
  readonly #interval: number;
  readonly #tick: () => unknown;
  readonly #start = performance.now();
  #stopped = false;

  /** @param tick What to call; failures are reported to the console. */
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

  /** Stops; a call that is under way is left to finish. */
  stop(): void {
    this.#stopped = true;
    this.#timers.clear(this);
  }

  #next(): void {
    if (this.#stopped) return;
    // Measured from the start, so that an hour of seconds has 3600 beats.
    const elapsed = performance.now() - this.#start;
    this.#timers.set(this, this.#interval - elapsed % this.#interval);
  }
}

function report(error: unknown): void {
  console.error("An onTick callback failed:", error);
}
