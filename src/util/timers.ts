/** Something that is due at a time. It belongs to the object that arms it, and is armed at most once at a time. */
export abstract class Timer {
  /** The time at which it is due, by `performance.now()`. */
  due = 0;
  /** Its index in the heap; -1 while it isn't armed. */
  index = -1;
  /** Called once when due; may arm any timer again. */
  abstract fire(): void;
}

/** A timer that calls a function. */
export class CallbackTimer extends Timer {
  override fire: () => void;
  /** @param fire The function to call when it is due. */
  constructor(fire: () => void) {
    super();
    this.fire = fire;
  }
}

/** The longest delay of `setTimeout`: longer ones would fire after 1 ms. */
export const LONGEST_DELAY = 0x7fffffff;

// The most timers that fire in one turn of the event loop. Ten thousand handshakes that time out at once must not keep
// other connections waiting: each needs several operations on a socket, and the runtime does 128 of them per turn.
const SLICE = 32;

/**
 * All timers of a context on one `setTimeout`: a binary heap, so that arming and disarming ten thousand keepalives needs
 * no runtime timer for each. It never keeps the process alive; the connections do.
 */
export class Timers {
  #heap: Timer[] = [];
  #system: ReturnType<typeof setTimeout> | undefined;
  #systemDue = Infinity;

  /** Arms a timer to fire after `delay` ms; an earlier arming is replaced. `Infinity` leaves it disarmed. */
  set(timer: Timer, delay: number): void {
    this.clear(timer);
    if (delay === Infinity) return;
    timer.due = performance.now() + delay;
    timer.index = this.#heap.push(timer) - 1;
    this.#up(timer);
    if (this.#heap[0] === timer) this.#schedule();
  }

  /** Disarms a timer, if it is armed. */
  clear(timer: Timer): void {
    const at = timer.index;
    if (at < 0) return;
    timer.index = -1;
    const last = this.#heap.pop()!;
    if (last !== timer) {
      this.#heap[at] = last;
      last.index = at;
      this.#up(last);
      this.#down(last);
    }
    // A runtime timer that fires too early is harmless, but there must be none for an empty heap.
    if (this.#heap.length === 0) this.#cancel();
  }

  #schedule(): void {
    const due = this.#heap[0].due;
    if (due >= this.#systemDue) return;
    if (this.#system !== undefined) clearTimeout(this.#system);
    this.#systemDue = due;
    const delay = Math.min(Math.max(0, Math.ceil(due - performance.now())), LONGEST_DELAY);
    const system = setTimeout(() => this.#run(), delay);
    Deno.unrefTimer(system);
    this.#system = system;
  }

  #cancel(): void {
    if (this.#system !== undefined) clearTimeout(this.#system);
    this.#system = undefined;
    this.#systemDue = Infinity;
  }

  #run(): void {
    this.#system = undefined;
    this.#systemDue = Infinity;
    const now = performance.now();
    let fired = 0;
    try {
      while (this.#heap.length > 0 && this.#heap[0].due <= now) {
        if (++fired > SLICE) break;
        const timer = this.#heap[0];
        this.clear(timer);
        timer.fire();
      }
    } finally {
      // A timer that throws must not stop the others of the context.
      if (this.#heap.length > 0) this.#schedule();
    }
  }

  #up(timer: Timer): void {
    const heap = this.#heap;
    let at = timer.index;
    while (at > 0) {
      const parent = heap[(at - 1) >> 1];
      if (parent.due <= timer.due) break;
      heap[at] = parent;
      parent.index = at;
      at = (at - 1) >> 1;
    }
    heap[at] = timer;
    timer.index = at;
  }

  #down(timer: Timer): void {
    const heap = this.#heap;
    let at = timer.index;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1].due < heap[child].due) child++;
      if (heap[child].due >= timer.due) break;
      heap[at] = heap[child];
      heap[at].index = at;
      at = child;
    }
    heap[at] = timer;
    timer.index = at;
  }
}

/**
 * Starts a timer that keeps the process alive, for a caller that awaits its result. Any delay in ms is allowed; with
 * `Infinity` it never fires.
 *
 * @returns A function that disarms it.
 */
export function startTimer(delay: number, fire: () => void): () => void {
  let system: ReturnType<typeof setTimeout>;
  const due = performance.now() + delay;
  const arm = (rest: number) => {
    if (rest === Infinity) return;
    system = setTimeout(
      () => rest > LONGEST_DELAY ? arm(due - performance.now()) : fire(),
      Math.min(rest, LONGEST_DELAY),
    );
  };
  arm(delay);
  return () => clearTimeout(system);
}

/** Waits for a promise, but no longer than `timeout` ms; resolves with whether it has settled. */
export function within(timeout: number, promise: PromiseLike<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const stop = startTimer(timeout, () => resolve(false));
    const settled = () => {
      stop();
      resolve(true);
    };
    promise.then(settled, settled);
  });
}
