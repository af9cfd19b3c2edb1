/** Something that wants to write at the end of the turn. */
export interface Flushable {
  /** Writes. */
  flushScheduled(): void;
}

// A write costs the system some 10 to 20 µs, so ten thousand of them would keep timers and reads waiting for a fifth of
// a second. What takes longer than a slice goes on in the next turn of the event loop.
const SLICE = 16;
/** So few are written without a look at the clock, whatever else waits. */
const FEW = 32;

// What was sent in this turn.
let waiting: Flushable[] = [];
// What earlier turns had no time for.
let backlog: Flushable[] = [];
let timed = false;
/** Time that has been spent on this turn's while others waited for the next one. */
let spent = 0;

/** Calls `flushScheduled` at the end of this turn: all that is sent in a turn leaves in one write. */
export function flushAfterTurn(item: Flushable): void {
  if (waiting.push(item) === 1) queueMicrotask(flushWaiting);
}

function flushWaiting(): void {
  const items = waiting;
  waiting = [];
  if (items.length <= FEW && !timed) {
    for (const item of items) item.flushScheduled();
    return;
  }
  // An answer doesn't wait for the backlog of a large broadcast; another broadcast does.
  const start = performance.now();
  const done = flushSome(items, SLICE - spent);
  if (done < items.length) {
    for (let i = done; i < items.length; i++) backlog.push(items[i]);
    goOnLater();
  }
  if (timed) spent += performance.now() - start;
}

function flushSome(items: Flushable[], budget: number): number {
  const end = performance.now() + budget;
  let at = 0;
  do {
    for (const stop = Math.min(at + FEW, items.length); at < stop; at++) items[at].flushScheduled();
  } while (at < items.length && performance.now() < end);
  return at;
}

function goOnLater(): void {
  if (timed) return;
  timed = true;
  // Not setImmediate: in Deno it lets timers in, but rarely reads.
  setTimeout(flushBacklog, 0);
}

function flushBacklog(): void {
  timed = false;
  spent = 0;
  const items = backlog;
  backlog = [];
  const done = flushSome(items, SLICE);
  if (done < items.length) {
    backlog = backlog.length === 0 ? items.slice(done) : items.slice(done).concat(backlog);
    goOnLater();
  }
}
