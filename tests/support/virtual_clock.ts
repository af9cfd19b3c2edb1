import { setImmediate } from "node:timers";
import { turn } from "./until.ts";

// The platform turns longer delays into 1 ms.
const TOO_LONG = 2 ** 31;

interface Due {
  at: number;
  readonly order: number;
  readonly fire: () => void;
}

// deno-lint-ignore no-explicit-any
type Any = any;

/** Waits for one turn of the event loop without a timer, so that everything that is due has happened. */
export function macrotask(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Moves `performance.now` ahead, for code that reads the time without waiting. */
export class TimeShift implements Disposable {
  /** How far it is ahead, in ms. */
  ahead = 0;

  constructor() {
    const now = performance.now.bind(performance);
    performance.now = () => now() + this.ahead;
  }

  [Symbol.dispose](): void {
    delete (performance as Any).now;
  }
}

/**
 * A clock that a test moves. While it is installed, `setTimeout` and `performance.now` of the whole process follow it, so a
 * wait of ten seconds takes no time, and every run is the same.
 */
export class VirtualClock implements Disposable {
  /** Time since the installation, in ms. */
  now = 0;
  // An integer, so that delays in whole ms are exact.
  readonly #start = Math.round(performance.now());
  readonly #timers = new Map<number, Due>();
  readonly #real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    refTimer: Deno.refTimer,
    unrefTimer: Deno.unrefTimer,
  };
  // Not the number of a real timer, which code may clear here as well.
  #next = 2 ** 40;
  #order = 0;
  #firing = false;

  constructor() {
    (globalThis as Any).setTimeout = (fire: (...args: Any[]) => void, ms = 0, ...args: Any[]) => {
      const id = this.#next++;
      const delay = ms < TOO_LONG ? ms : 1;
      // At least 1 ms while a timer fires, or a timer that is always armed again would fire for ever.
      const at = this.now + Math.max(delay, this.#firing ? 1 : 0);
      this.#timers.set(id, { at, order: this.#order++, fire: () => fire(...args) });
      return id;
    };
    (globalThis as Any).clearTimeout = (id: Any) => {
      if (!this.#timers.delete(id)) this.#real.clearTimeout(id);
    };
    (Deno as Any).refTimer = () => {};
    (Deno as Any).unrefTimer = () => {};
    performance.now = () => this.#start + this.now;
  }

  /** The number of armed timers. */
  get armed(): number {
    return this.#timers.size;
  }

  /** The time until the next timer, in ms. */
  get next(): number {
    let least = Infinity;
    for (const { at } of this.#timers.values()) least = Math.min(least, at);
    return least - this.now;
  }

  /** Advances the clock. Timers fire in order, and the effects of each happen before the next one fires. */
  async advance(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      let first: [number, Due] | null = null;
      for (const entry of this.#timers) {
        const { at, order } = entry[1];
        if (at > end) continue;
        if (first === null || at < first[1].at || (at === first[1].at && order < first[1].order)) {
          first = entry;
        }
      }
      if (first === null) break;
      this.#timers.delete(first[0]);
      this.now = Math.max(this.now, first[1].at);
      this.#firing = true;
      first[1].fire();
      await macrotask();
      this.#firing = false;
    }
    this.now = end;
  }

  /** Advances the clock by `step` ms in each turn of the event loop, until a promise settles. */
  async during<T>(promise: Promise<T>, step = 10): Promise<T> {
    let settled = false;
    const settle = () => settled = true;
    promise.then(settle, settle);
    for (await turn(); !settled; await turn()) await this.advance(step);
    return promise;
  }

  [Symbol.dispose](): void {
    Object.assign(globalThis, {
      setTimeout: this.#real.setTimeout,
      clearTimeout: this.#real.clearTimeout,
    });
    (Deno as Any).refTimer = this.#real.refTimer;
    (Deno as Any).unrefTimer = this.#real.unrefTimer;
    delete (performance as Any).now;
  }
}
