import { Timer, type Timers } from "./timers.ts";

// How often progress is looked at per interval, instead of asking the clock whenever there is some.
const LOOKS = 4;

/**
 * Notices when there has been no progress for an interval, at most a quarter of it late. A connection may own one
 * for as long as it lives, so it has no fields that the classes which know more can do without.
 */
export abstract class IdleTimer extends Timer {
  #last = 0;
  #since = 0; // whole ms, which costs no number object

  /** Where it is armed. */
  protected abstract get timers(): Timers;
  /** What may pass without progress, in ms. */
  protected abstract get interval(): number;
  /** Bounds how late progress may be seen, if that matters sooner than its absence. */
  protected get shortest(): number {
    return this.interval;
  }
  /** A number that changes with every sign of life. */
  protected abstract progress(): number;
  /** Whether the peer can't show any just now, so that its time doesn't count. */
  protected abstract isExempt(): boolean;
  /** Called when there was progress since the last look. */
  protected onProgress(): void {}
  /** Called after an interval without progress; watching ends unless started again. */
  protected abstract expired(): void;

  /** Starts to watch; progress so far doesn't count. */
  start(): void {
    this.#last = this.progress();
    this.#since = Math.round(performance.now());
    this.timers.set(this, this.#look());
  }

  #look(): number {
    return Math.min(this.interval, this.shortest) / LOOKS;
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
    else this.timers.set(this, Math.min(this.#look(), interval - silence));
  }
}
