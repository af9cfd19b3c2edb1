import { Fifo } from "../util/fifo.ts";
import { inNextTurn } from "../util/turns.ts";

// Long messages are compressed and inflated in slices. All connections of a program share one queue, and each turn of the
// event loop does one slice. So a timer waits for at most one slice, however many connections have work, and all of these
// progress at the same pace.
//
// Short messages needn't wait for a turn, but one read may bring a thousand of them, and one turn of the loop a hundred
// reads. So the work that is done at once is added up. When the sum reaches the budget, the next message has to wait for a
// turn even if it is short; the turn resets the sum.

/** Work that is done slice by slice. */
export interface Sliced {
  /**
   * Does the next slice. Must not throw: there is no caller to catch it.
   *
   * @returns Whether there is more to do.
   */
  slice(): boolean;
}

/** The work that is done at once between two turns, in bytes of an inflater's output. */
const BUDGET = 1024 * 1024;
/**
 * The fixed cost of a call of zlib, in the same unit. Measured on Deno 2.9.6: 1.4 to 2.5 µs for a message of one byte in
 * either direction, and 0.5 ns for each byte of JSON that is inflated.
 */
export const CALL_COST: number = 2 * 1024;
/** The cost of making a context: 5.5 µs. */
export const CONTEXT_COST: number = 8 * 1024;

/** A place in the line; `work` is null once it was cancelled. */
interface Place {
  work: Sliced | null;
}

/** A line of work, of which each turn of the event loop does one slice, and the budget for work that isn't in line. */
export class WorkQueue {
  readonly #line = new Fifo<Place>();
  readonly #places = new Map<Sliced, Place>();
  #spent = 0;
  #scheduled = false;

  /** The number of works in line. */
  get size(): number {
    return this.#places.size;
  }

  /**
   * Adds work at the end of the line; does nothing if it is in line already.
   *
   * @param work The work; its first slice is done in the next turn of the event loop or later.
   */
  enqueue(work: Sliced): void {
    if (this.#places.has(work)) return;
    const place = { work };
    this.#places.set(work, place);
    this.#line.push(place);
    this.#schedule();
  }

  /**
   * Removes work from the line, in constant time; does nothing if it isn't in line. Work whose slice is just running goes
   * on unless that slice returns false.
   *
   * @param work The work, as passed to `enqueue`.
   */
  cancel(work: Sliced): void {
    const place = this.#places.get(work);
    if (place === undefined) return;
    // The place stays until it comes to the front.
    place.work = null;
    this.#places.delete(work);
  }

  /** Whether a short message may be handled at once. */
  get withinBudget(): boolean {
    return this.#spent < BUDGET;
  }

  /**
   * Adds work that was done at once to the sum.
   *
   * @param cost The number of bytes that would be inflated in the same time.
   */
  charge(cost: number): void {
    this.#spent += cost;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    inNextTurn(this.#turn);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    this.#spent = 0;
    let work: Sliced | null | undefined = null;
    while (work === null) work = this.#line.shift()?.work;
    if (work === undefined) return;
    this.#places.delete(work);
    let more = false;
    try {
      more = work.slice();
    } finally {
      if (more) this.enqueue(work);
      if (this.size > 0) this.#schedule();
    }
  };
}

/** The work of all connections of a program. */
export const workQueue: WorkQueue = new WorkQueue();
