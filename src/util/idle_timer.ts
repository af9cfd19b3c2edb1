import { Timer, type Timers } from "./timers.ts";

// Progress is checked this many times per interval, so that progress itself needs no reading of the clock.
const CHECKS = 4;

/**
 * Notices that there has been no progress for an interval, at most a quarter of it late. Many connections own one for all
 * their life, so it has few fields: subclasses compute the rest.
 */
export abstract class IdleTimer extends Timer {
  #last = 0;
  #since = 0; // whole ms, which costs no number object

  /** The timers that it is armed in. */
  protected abstract get timers(): Timers;
  /** The longest time without progress, in ms. */
  protected abstract get interval(): number;
  /** The interval within which progress must be noticed, in ms, if that is shorter. */
  protected get shortest(): number {
    return this.interval;
  }
  /** A number that changes with every sign of life. */
  protected abstract progress(): number;
  /** Whether the peer can't show progress now, so that the time doesn't count. */
  protected abstract isExempt(): boolean;
  /** Called if there was progress since the last check. */
  protected onProgress(): void {}
  /** Called after an interval without progress; watching ends unless started again. */
  protected abstract expired(): void;

  /** Starts to watch; progress so far doesn't count. */
  start(): void {
    this.#last = this.progress();
    this.#since = Math.round(performance.now());
    this.timers.set(this, this.#delay());
  }

  #delay(): number {
    return Math.min(this.interval, this.shortest) / CHECKS;
  }

  /** Stops watching. */
  stop(): void {
    this.timers.clear(this);
  }

  override fire(): void {
    const progress = this.progress(), now = performance.now();
    if (progress !== this.#last) {
      this.#last = progress;
      this.#since = Math.round(now);
      this.onProgress();
    } else if (this.isExempt()) {
      this.#since = Math.round(now);
    }
    const { interval } = this, silence = now - this.#since;
    if (silence >= interval) this.expired();
    else this.timers.set(this, Math.min(this.#delay(), interval - silence));
  }
}
