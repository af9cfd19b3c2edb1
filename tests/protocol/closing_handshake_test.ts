import { assert, assertEquals } from "@std/assert";
import { next, Phase, PhaseAction, PhaseEvent } from "../../src/protocol/closing_handshake.ts";

// The whole table, written independently: rows are events, columns are phases. "-" means that the phase stays and waits. All
// other cells have the next phase, and actions other than waiting. If it matters which end closes the stream first, the cell for
// that end comes first.
const TABLE = `
             | Connecting      | Open                    | ClosingByUs    | ClosingByPeer       | Failing          | Flushing   | ReadingOut | Ending      | Closed
Opened       | Open            | -                       | -              | -                   | -                | -          | -          | -           | -
Close        | Ending close    | ClosingByUs frame       | -              | -                   | -                | -          | -          | -           | -
Terminate    | Ending close    | Ending close            | Ending close   | Ending close        | Ending close     | Ending close | Ending close | -       | -
CloseReceived| -               | ClosingByPeer frame     | ClosingByPeer  | -                   | -                | -          | Ending close | -         | -
Fail         | -               | Failing frame           | Failing        | -                   | -                | -          | Ending close | -         | -
InputEnded   | -               | Flushing                | Flushing       | Flushing            | Flushing         | -          | Ending close | -         | -
Lost         | Ending close    | Ending close            | Ending close   | Ending close        | Ending close     | Ending close | Ending close | -       | -
WriteFailed  | -               | ReadingOut              | ReadingOut     | Ending close        | Ending close     | Ending close | -        | -         | -
Taken        | -               | -                       | -              | Ending close / -    | Failing half     | Ending close | -        | -         | -
TimedOut     | -               | -                       | Ending close   | Ending close        | Ending close     | Ending close | Ending close | Closed report | -
Delivered    | -               | -                       | -              | -                   | -                | -          | -          | Closed report | -
`;

const ACTIONS: Record<string, PhaseAction> = {
  frame: PhaseAction.SendClose,
  half: PhaseAction.HalfClose,
  close: PhaseAction.CloseStream,
  report: PhaseAction.Report,
};
const rows = TABLE.trim().split("\n").map((row) => row.split("|").map((cell) => cell.trim()));
// `trim` removes the first cell of the header row.
const columns = rows[0].slice(rows[0].length - Object.keys(Phase).length);
const phases = Object.values(Phase), events = Object.values(PhaseEvent);
const ends = [false, true];

Deno.test("RFC 6455 7.1: every event leads to the right phase and action in every phase, for both roles", () => {
  assertEquals(columns, Object.keys(Phase));
  assertEquals(rows.slice(1).map(([name]) => name), Object.keys(PhaseEvent));
  let checked = 0;
  for (const [name, ...cells] of rows.slice(1)) {
    for (const [at, cell] of cells.entries()) {
      const choices = cell.split("/").map((choice) => choice.trim());
      for (const [which, endsLast] of ends.entries()) {
        const [target, action] = (choices[which] ?? choices[0]).split(" ");
        const phase = Phase[columns[at] as keyof typeof Phase];
        assertEquals(
          next(phase, PhaseEvent[name as keyof typeof PhaseEvent], endsLast),
          {
            phase: target === "-" ? phase : Phase[target as keyof typeof Phase],
            action: action === undefined ? PhaseAction.Wait : ACTIONS[action],
          },
          `${name} in ${columns[at]}, ${endsLast ? "last" : "first"}`,
        );
        checked++;
      }
    }
  }
  assertEquals(checked, phases.length * events.length * 2);
});

/** Every phase that a connection can reach from a phase. */
function reachable(from: Phase): Set<Phase> {
  const seen = new Set<Phase>([from]);
  for (const phase of seen) {
    for (const event of events) {
      for (const endsLast of ends) seen.add(next(phase, event, endsLast).phase);
    }
  }
  return seen;
}

Deno.test("RFC 6455 7.1: phases never go back, and the last one is final", () => {
  for (const phase of phases) {
    for (const later of reachable(phase)) {
      assert(later >= phase, `${later} after ${phase}`);
    }
  }
  assertEquals([...reachable(Phase.Closed)], [Phase.Closed]);
});

Deno.test("RFC 6455 5.5.1: at most one close frame is sent, and the stream is closed and the end reported once", () => {
  // All sequences of events, as the sets of actions that may have happened in each phase.
  const once = [PhaseAction.SendClose, PhaseAction.CloseStream, PhaseAction.Report] as const;
  for (const endsLast of ends) {
    const seen = new Set<string>(), todo: [Phase, string][] = [[Phase.Connecting, ""]];
    for (const [phase, done] of todo) {
      for (const event of events) {
        const step = next(phase, event, endsLast);
        const first = !done.includes(String(step.action));
        if (once.includes(step.action as typeof once[number])) {
          assert(first, `event ${event} in phase ${phase} repeats action ${step.action}`);
        }
        const state = [...new Set([...done, String(step.action)])].sort().join("");
        if (!seen.has(`${step.phase}:${state}`)) {
          seen.add(`${step.phase}:${state}`);
          todo.push([step.phase, state]);
        }
      }
    }
  }
});

Deno.test("the close timeout, and then the end of delivery, end every closing phase", () => {
  for (const endsLast of ends) {
    for (const phase of phases) {
      if (phase === Phase.Connecting || phase === Phase.Open) continue;
      let at: Phase = phase;
      for (let i = 0; i < 2; i++) at = next(at, PhaseEvent.TimedOut, endsLast).phase;
      assertEquals(at, Phase.Closed);
    }
    for (const phase of phases) {
      const { phase: ended } = next(phase, PhaseEvent.Terminate, endsLast);
      assertEquals(next(ended, PhaseEvent.Delivered, endsLast).phase, Phase.Closed);
    }
  }
});
