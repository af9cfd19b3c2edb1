import { setImmediate } from "node:timers";
import { turn } from "./until.ts";

// What the platform makes 1 ms of.
const TOO_LONG = 2 ** 31;

interface Due {
  at: number;
  readonly order: number;
  readonly fire: () => void;
}

// deno-lint-ignore no-explicit-any
type Any = any;

/** One turn of the event loop, without a timer: what is due by now has happened. */
export function macrotask(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Lets `performance.now` be ahead, for code that looks at the time without waiting for it. */
export class TimeShift implements Disposable {
  /** By how many ms it is ahead. */
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
 * A clock that a test moves: `setTimeout` and `performance.now` of the whole process follow it while it is installed, so
 * a wait of ten seconds takes none, and the same run is the same every time.
 */
export class VirtualClock implements Disposable {
  /** ms since it was installed. */
  now = 0;
  // Whole, so that what is due in whole ms is due in just as many.
  readonly #start = Math.round(performance.now());
  readonly #timers = new Map<number, Due>();
  readonly #real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    refTimer: Deno.refTimer,
    unrefTimer: Deno.unrefTimer,
  };
  // None of the real ones, which may be cleared here as well.
  #next = 2 ** 40;
  #order = 0;
  #firing = false;

  constructor() {
    (globalThis as Any).setTimeout = (fire: (...args: Any[]) => void, ms = 0, ...args: Any[]) => {
      const id = this.#next++;
      const delay = ms < TOO_LONG ? ms : 1;
      // As with the real one time passes, or what is armed again whenever it fires would fire for ever.
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

  /** Timers that are armed. */
  get armed(): number {
    return this.#timers.size;
  }

  /** When the next timer is due, from now. */
  get next(): number {
    let least = Infinity;
    for (const { at } of this.#timers.values()) least = Math.min(least, at);
    return least - this.now;
  }

  /** Lets time pass; what is due fires in order, and has its effects before the next does. */
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

  /** Lets time pass, `step` ms in each turn of the event loop, until a promise settles. */
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
