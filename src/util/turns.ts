// Not the global ones: a test may replace those, and then drop the timers that it has made.
import { setImmediate, setTimeout } from "node:timers";

// The runtime (Deno 2.9.6) asks the kernel which sockets are ready when a turn of its event loop leaves it nothing to do,
// and otherwise every 61 turns. Immediates are something to do: a program that schedules its work with them gets the events of
// sockets that are always ready, and no others for 61 turns.
const TURNS = 61;
/** ms that these may take. Then the rest of them does nothing, which takes 0.1 ms. */
const STRETCH = 1;
/** ms that such a turn may take. Where others fill the turns a timer helps, which leaves nothing to do for 1 to 2 ms. */
const LONG = 1;

let waiting: (() => void)[] = [];
let turns = 0;
let taken = 0;
let idle = false;
let start = 0;

/** Calls back in a later turn of the event loop: the next one, unless other sockets have waited for too long. */
export function inNextTurn(callback: () => void): void {
  if (waiting.push(callback) > 1) return;
  idle = false;
  start = performance.now();
  setImmediate(turn);
}

function turn(): void {
  const now = performance.now(), took = now - start;
  start = now;
  taken += took;
  if (++turns === TURNS) turns = taken = 0;
  if (taken < STRETCH) {
    callBack();
  } else if (idle && took > LONG) {
    turns = taken = 0;
    setTimeout(callBack, 0);
  } else {
    idle = true;
    setImmediate(turn);
  }
}

function callBack(): void {
  const callbacks = waiting;
  waiting = [];
  let at = 0;
  try {
    while (at < callbacks.length) callbacks[at++]();
  } finally {
    // If a callback throws, the others are still called.
    while (at < callbacks.length) inNextTurn(callbacks[at++]);
  }
}
