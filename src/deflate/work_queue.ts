import { Fifo } from "../util/fifo.ts";
import { inNextTurn } from "../util/turns.ts";

// Long messages are compressed and inflated in slices. All of a program's share one queue, and one
// turn of the event loop does one slice of one of them: so a timer waits for a slice at most, however
// many connections have work, and each of those moves on at the same pace.
//
// Short messages don't take turns, but a thousand of them may come with one read, and a hundred reads
// with one turn of the loop. So what is done at once is added up, and when it is as much as some slices
// the next has to take a turn, short or not, which starts the sum again.

/** Work that is done slice by slice. */
export interface Sliced {
  /**
   * Does the next slice. Must not throw: there is no caller to catch it.
   *
   * @returns Whether there is more to do.
   */
  slice(): boolean;
}

/** What is done at once between two turns, in bytes that come out of an inflater. */
const BUDGET = 1024 * 1024;
/**
 * What a call of zlib costs whatever it brings, in the same unit. Measured on Deno 2.9.6: 1.4 to 2.5 µs for a message of
 * one byte in either direction, and 0.5 ns for each byte of JSON that comes out.
 */
export const CALL_COST: number = 2 * 1024;
/** The same of making a context: 5.5 µs. */
export const CONTEXT_COST: number = 8 * 1024;

/** A place in the line; without work once that has left. */
interface Place {
  work: Sliced | null;
}

const line = new Fifo<Place>();
const places = new Map<Sliced, Place>();
let spent = 0;
let scheduled = false;

/**
 * Lines work up after all that is waiting; does nothing if it is in line already.
 *
 * @param work What to do; it gets its first turn no earlier than the next turn of the event loop.
 */
export function enqueue(work: Sliced): void {
  if (places.has(work)) return;
  const place = { work };
  places.set(work, place);
  line.push(place);
  schedule();
}

/**
 * Takes work out of the line, in constant time; does nothing if it isn't in it. A slice that is just running is
 * asked for no further one only if it returns false.
 *
 * @param work What was passed to {@linkcode enqueue}.
 */
export function cancel(work: Sliced): void {
  const place = places.get(work);
  if (place === undefined) return;
  // The place stays until it comes to the front.
  place.work = null;
  places.delete(work);
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
  return places.size;
}

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  inNextTurn(turn);
}

function turn(): void {
  scheduled = false;
  spent = 0;
  let work: Sliced | null | undefined = null;
  while (work === null) work = line.shift()?.work;
  if (work === undefined) return;
  places.delete(work);
  let more = false;
  try {
    more = work.slice();
  } finally {
    if (more) enqueue(work);
    if (places.size > 0) schedule();
  }
}
