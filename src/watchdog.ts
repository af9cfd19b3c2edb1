import { Timer, type Timers } from "./timers.ts";

// Progress is looked at so often per interval, instead of asking the clock whenever there is some.
const LOOKS = 4;

/** What a watchdog watches. */
export interface Watched {
  /** A number that changes with every sign of life. */
  progress(): number;
  /** Whether the peer can't show any just now, and time stands still for it. */
  excused(): boolean;
}

/** Notices when a connection has made no progress for an interval, at most a quarter of it late. */
export abstract class Watchdog extends Timer {
  readonly #timers: Timers;
  #watched: Watched;
  #interval = 0;
  #look = 0;
  #last = 0;
  #since = 0;

  constructor(timers: Timers, watched: Watched) {
    super();
    this.#timers = timers;
    this.#watched = watched;
  }

  /** Starts to watch; progress so far doesn't count. `shortest` bounds how late it may be seen. */
  start(interval: number, shortest = interval): void {
    this.#interval = interval;
    this.#look = Math.min(interval, shortest) / LOOKS;
    this.#last = this.#watched.progress();
    this.#since = performance.now();
    this.#timers.set(this, this.#look);
  }

  /** Stops watching. */
  stop(): void {
    this.#timers.clear(this);
  }

  override fire(): void {
    const progress = this.#watched.progress(), now = performance.now();
    if (progress !== this.#last) {
      this.#last = progress;
      this.#since = now;
      this.progressed();
    } else if (this.#watched.excused()) {
      this.#since = now;
    }
    const silence = now - this.#since;
    if (silence >= this.#interval) this.expired();
    else this.#timers.set(this, Math.min(this.#look, this.#interval - silence));
  }

  /** Called when there was progress since the last look. */
  protected progressed(): void {}

  /** Called after an interval without progress; watching ends unless started anew. */
  protected abstract expired(): void;
}
