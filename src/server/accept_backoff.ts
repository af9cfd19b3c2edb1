// The pauses in ms after accepting has failed, for example without free descriptors: each is twice as long as the one
// before.
const FIRST = 20;
const LONGEST = 1000;
// A failure is logged if the previous one is this long ago.
const LOG_AGAIN_AFTER_MS = 60_000;

// A peer has left before it was accepted (accept(2)), which says nothing about the next one. A scanner or a health check
// that resets at once must not make all others wait.
const PEERS_FAULT = ["ENOTCONN", "ECONNABORTED", "ECONNRESET", "EPROTO"];
/** After this many of these failures the event loop gets a turn. */
const TURN = 64;

/** Pauses after failed attempts to accept, and logs a row of failures only once. */
export class AcceptBackoff {
  #next = FIRST;
  #failedAt = -Infinity;
  /** Connections that were lost before they were accepted. */
  #lost = 0;
  // Not one of the context's timers, since during a pause nothing else may keep the process alive.
  #timer: ReturnType<typeof setTimeout> | undefined;
  #resume: (() => void) | null = null;
  #refed = true;

  /** A connection was accepted. */
  succeeded(): void {
    this.#next = FIRST;
  }

  /** Pauses after a failure, unless only the connection that was to be accepted has failed. */
  failed(error: unknown): Promise<void> {
    const { code = "" } = (error ?? {}) as { code?: string };
    if (PEERS_FAULT.includes(code)) {
      // A foreign listener may fail in this way at once and for ever, so the event loop gets a turn.
      return ++this.#lost % TURN === 0 ? this.#rest(0) : Promise.resolve();
    }
    const now = performance.now();
    if (now - this.#failedAt > LOG_AGAIN_AFTER_MS) {
      console.error("Accepting WebSocket connections has failed, and is tried again:", error);
    }
    this.#failedAt = now;
    const rest = this.#next;
    this.#next = Math.min(rest * 2, LONGEST);
    return this.#rest(rest);
  }

  #rest(rest: number): Promise<void> {
    return new Promise((resolve) => {
      this.#resume = resolve;
      this.#timer = setTimeout(resolve, rest);
      if (!this.#refed) Deno.unrefTimer(this.#timer);
    });
  }

  /** Sets whether a pause keeps the process alive, as the listener does. */
  ref(on: boolean): void {
    this.#refed = on;
    if (this.#timer === undefined) return;
    if (on) Deno.refTimer(this.#timer);
    else Deno.unrefTimer(this.#timer);
  }

  /** Ends a pause at once. */
  end(): void {
    clearTimeout(this.#timer);
    this.#resume?.();
  }
}
