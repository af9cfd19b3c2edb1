/** Something that is due at a time; owned by the object that arms it, armed at most once at a time. */
export abstract class Timer {
  /** When it is due, on the clock of `performance.now()`. */
  due = 0;
  /** Where it is in the heap; -1 while not armed. */
  index = -1;
  /** Called once when due; may arm any timer again. */
  abstract fire(): void;
}

/** A timer that calls a function. */
export class CallbackTimer extends Timer {
  override fire: () => void;
  /** @param fire What to call when due. */
  constructor(fire: () => void) {
    super();
    this.fire = fire;
  }
}

/** The longest delay that `setTimeout` knows: anything longer would fire after 1 ms. */
export const LONGEST_DELAY = 0x7fffffff;

// Ten thousand handshakes that time out at once must not keep everybody else waiting. Each means several operations on
// a socket, of which the runtime does 128 per turn of its event loop, so no more than these fire in one.
const SLICE = 32;

/**
 * All timers of a context on one system timer: a binary heap, so arming and disarming ten thousand
 * keepalives costs no system timer each. It never keeps the process alive; the I/O that it watches does.
 */
export class Timers {
  #heap: Timer[] = [];
  #system: ReturnType<typeof setTimeout> | undefined;
  #systemDue = Infinity;

  /** Arms a timer to fire after `delay` ms, in place of any earlier arming. `Infinity` leaves it disarmed. */
  set(timer: Timer, delay: number): void {
    this.clear(timer);
    if (delay === Infinity) return;
    timer.due = performance.now() + delay;
    timer.index = this.#heap.push(timer) - 1;
    this.#up(timer);
    if (this.#heap[0] === timer) this.#schedule();
  }

  /** Disarms a timer; one that isn't armed is left alone. */
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
    // A system timer that fires too early finds nothing due; only one for nothing must not stay.
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
      // One that throws must not stop all others of the context.
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
 * A system timer that keeps the process alive, for a caller that waits for what it ends. Knows every delay up to
 * `Infinity`, which never fires.
 *
 * @returns Disarms it.
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
