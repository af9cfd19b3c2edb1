import { inNextTurn } from "../util/turns.ts";

/** Something that wants to write at the end of the turn. */
export interface Flushable {
  /** Writes. */
  flushScheduled(): void;
}

// The runtime takes 128 operations in one turn of its event loop; what is started beyond that is put off, and tried again
// with all others in every turn that follows. So fewer are started at once, with room for what reads and answers.
const SLICE = 100;
/** Up to this many flushes, an answer or two, don't wait for the backlog of a large broadcast; another broadcast does. */
const IMMEDIATE_FLUSHES = 32;

// What was sent in this turn.
let waiting: Flushable[] = [];
// What is written slice by slice, how far that is, and what goes after it.
let backlog: Flushable[] = [];
let done = 0;
let behind: Flushable[] = [];

/** Calls `flushScheduled` at the end of this turn, so that all that is sent in a turn leaves in one write. */
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
      // One that throws must not stop the others.
      while (at < items.length) flushAfterTurn(items[at++]);
    }
  } else if (backlog.length > 0) {
    for (const item of items) behind.push(item);
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
    backlog = behind;
    behind = [];
    done = 0;
    if (backlog.length === 0) return;
  }
  inNextTurn(flushSlice);
}
