import { inNextTurn } from "../util/turns.ts";

/** Something that wants to write at the end of the turn. */
export interface Flushable {
  /** The turn ends: writes the messages that were sent in it. */
  flushScheduled(): void;
}

// The runtime handles 128 operations in one turn of its event loop. Further ones are put off, and tried again with all
// others in every later turn. So fewer are started at once, which leaves room for reads and for answers.
const SLICE = 100;
/** Up to this many flushes bypass the backlog of a large broadcast. More of them, such as another broadcast, wait. */
const IMMEDIATE_FLUSHES = 32;

// Flushes of this turn.
let waiting: Flushable[] = [];
// Flushes that are done slice by slice, the number of them that are done, and the flushes that follow the backlog.
let backlog: Flushable[] = [];
let done = 0;
let nextBacklog: Flushable[] = [];

/** Calls `flushScheduled` at the end of this turn, so that all messages of a turn leave in one write. */
export function flushAfterTurn(item: Flushable): void {
  if (waiting.push(item) === 1) queueMicrotask(flushWaiting);
}

function flushWaiting(): void {
  const items = waiting;
  waiting = [];
  if (items.length <= IMMEDIATE_FLUSHES) {
    let at = 0;
    try {
      while (at < items.length) items[at++].flushScheduled();
    } finally {
      // If a flush throws, the others are still done.
      while (at < items.length) flushAfterTurn(items[at++]);
    }
  } else if (backlog.length > 0) {
    for (const item of items) nextBacklog.push(item);
  } else {
    backlog = items;
    flushSlice();
  }
}

function flushSlice(): void {
  const end = Math.min(done + SLICE, backlog.length);
  try {
    while (done < end) backlog[done++].flushScheduled();
  } finally {
    goOn();
  }
}

function goOn(): void {
  if (done === backlog.length) {
    backlog = nextBacklog;
    nextBacklog = [];
    done = 0;
    if (backlog.length === 0) return;
  }
  inNextTurn(flushSlice);
}
