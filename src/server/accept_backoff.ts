// How long accepting rests after it has failed (no descriptors left, say), growing up to the second.
const FIRST = 20;
const LONGEST = 1000;
// A failure so long after the last one is news again.
const NEWS = 60_000;

/** Rests between attempts to accept that fail, and says so once, however often they do. */
export class AcceptBackoff {
  #next = FIRST;
  #failedAt = -Infinity;
  // A timer of its own and not of the context's: while it runs nothing else may keep the process alive.
  #timer: ReturnType<typeof setTimeout> | undefined;
  #resume: (() => void) | null = null;
  #refed = true;

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
      this.#resume = resolve;
      this.#timer = setTimeout(resolve, rest);
      if (!this.#refed) Deno.unrefTimer(this.#timer);
    });
  }

  /** Says whether a rest keeps the process alive, as the listener does. */
  ref(on: boolean): void {
    this.#refed = on;
    if (this.#timer === undefined) return;
    if (on) Deno.refTimer(this.#timer);
    else Deno.unrefTimer(this.#timer);
  }

  /** Ends a rest at once. */
  end(): void {
    clearTimeout(this.#timer);
    this.#resume?.();
  }
}
