import { Fifo } from "../util/fifo.ts";
import { inNextTurn } from "../util/turns.ts";

// A peer that sends without end has its next bytes ready whenever the last ones are done, and the runtime continues with
// them in the same turn of its event loop. Twenty such peers would keep the loop busy for good. So each does little at once,
// and then waits in line: one of them continues in each turn.

/** Something that has done as much as it may in one turn. */
export interface Yielding {
  /** Continues. Must not throw. */
  resume(): void;
}

const line = new Fifo<Yielding>();

/** Lines up for a turn of its own. */
export function yieldTurn(item: Yielding): void {
  line.push(item);
  if (line.length === 1) inNextTurn(turn);
}

/** Waits for a turn of its own. */
export function ownTurn(): Promise<void> {
  return new Promise((resume) => yieldTurn({ resume }));
}

function turn(): void {
  const item = line.shift()!;
  if (line.length > 0) inNextTurn(turn);
  item.resume();
}
