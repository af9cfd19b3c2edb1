// How long accepting pauses after it has failed (no descriptors left, say), growing up to the second.
const FIRST = 20;
const LONGEST = 1000;
// A failure is logged again if the last one is this long ago.
const LOG_AGAIN_AFTER_MS = 60_000;

// A peer has left before it was accepted (accept(2)): that is its connection's end, and says nothing of the next one. A
// scanner or a health check that resets at once must not make all others wait.
const PEERS_FAULT = ["ENOTCONN", "ECONNABORTED", "ECONNRESET", "EPROTO"];
/** After this many of them the event loop goes on. */
const TURN = 64;

/** Pauses between attempts to accept that fail, and logs it once, however many fail. */
export class AcceptBackoff {
  #next = FIRST;
  #failedAt = -Infinity;
  /** Connections that were lost before they were accepted. */
  #lost = 0;
  // A timer of its own and not of the context's: while it runs nothing else may keep the process alive.
  #timer: ReturnType<typeof setTimeout> | undefined;
  #resume: (() => void) | null = null;
  #refed = true;

  /** A connection was accepted. */
  succeeded(): void {
    this.#next = FIRST;
  }

  /** Rests after a failure, unless it is one of the connection that was to be accepted. */
  failed(error: unknown): Promise<void> {
    const { code = "" } = (error ?? {}) as { code?: string };
    if (PEERS_FAULT.includes(code)) {
      // A listener that was given may fail in this way at once, and for ever: others have their turn.
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
