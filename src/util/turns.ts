import { setImmediate } from "node:timers";
import { startTimer } from "./timers.ts";

// The runtime (Deno 2.9.6) asks the system which sockets are ready when a turn of its event loop leaves it nothing to do, and
// every 61 turns otherwise. An immediate is something to do: who uses only these sees the sockets that are always ready,
// and no others for 61 turns.
const TURNS = 61;
/** ms that these may take. Then a timer follows, which leaves nothing to do for a ms or two. */
const STRETCH = 8;

let turns = 0;
let taken = 0;

/** Calls back in a later turn of the event loop: the next one, unless other sockets have waited for too long. */
export function inNextTurn(callback: () => void): void {
  const start = performance.now();
  if (taken >= STRETCH) {
    turns = taken = 0;
    startTimer(0, callback);
    return;
  }
  setImmediate(() => {
    try {
      callback();
    } finally {
      if (++turns === TURNS) turns = taken = 0;
      taken += performance.now() - start;
    }
  });
}
