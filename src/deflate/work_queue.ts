import { setImmediate } from "node:timers";

// Long messages are compressed and inflated in slices. All of a program's share one queue, and one
// turn of the event loop does one slice of one of them: so a timer waits for a slice at most, however
// many connections have work, and each of those moves on at the same pace.
//
// Short messages don't take turns, but a thousand of them may come with one read, and a hundred reads
// with one turn of the loop. So what is done at once is added up, and when it is as much as some slices
// the next has to take a turn, short or not, which starts the sum anew.

/** Work that is done slice by slice. */
export interface Sliced {
  /**
   * Does the next slice.
   *
   * @returns Whether there is more to do.
   */
  slice(): boolean;
}

/** What is done at once between two turns, in bytes that come out of an inflater. */
const BUDGET = 1024 * 1024;

const queue: Sliced[] = [];
let spent = 0;
let scheduled = false;

/**
 * Lines work up behind all that is waiting.
 *
 * @param work What to do; it gets its first turn no earlier than the next turn of the event loop.
 */
export function enqueue(work: Sliced): void {
  queue.push(work);
  schedule();
}

/**
 * Takes work out of the line; does nothing where it isn't in it. A slice that is just running is
 * asked for no further one only if it returns false.
 *
 * @param work What was passed to {@linkcode enqueue}.
 */
export function cancel(work: Sliced): void {
  const index = queue.indexOf(work);
  if (index !== -1) queue.splice(index, 1);
}

/** Whether short work may be done at once. */
export function withinBudget(): boolean {
  return spent < BUDGET;
}

/**
 * Adds up what was done at once.
 *
 * @param cost As many bytes as would be inflated in the same time.
 */
export function charge(cost: number): void {
  spent += cost;
}

/** How much work is waiting. */
export function turnsWaiting(): number {
  return queue.length;
}

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  setImmediate(turn);
}

function turn(): void {
  scheduled = false;
  spent = 0;
  const work = queue.shift();
  if (work === undefined) return;
  let more = false;
  try {
    more = work.slice();
  } finally {
    if (more) queue.push(work);
    if (queue.length > 0) schedule();
  }
}
