import { join } from "../support/bytes.ts";
import { macrotask, VirtualClock } from "../support/virtual_clock.ts";
import { streamsOf, WatchedConn } from "../support/watched_conn.ts";
import { drive } from "./drive.ts";
import { type Plan, readPlan } from "./plan.ts";
import { Run, type Wire } from "./run.ts";

/** What is wrong with a plan's run, and what happened in it. */
export interface Judgement {
  readonly findings: readonly string[];
  readonly log: readonly string[];
}

/** A wire in memory. */
export function memoryWire(plan: Plan): Wire {
  const [near, far] = WatchedConn.pair(plan.capacity, WatchedConn);
  near.portion = far.portion = plan.portion;
  return {
    ours: plan.transport === "streams" ? streamsOf(near) : near,
    theirs: far,
    written: () => join(near.written),
    misuses: () => {
      const misuses = [...near.misuses];
      if (near.closes !== 1) misuses.push(`closed ${near.closes} times`);
      return misuses;
    },
    moved: () => near.bytesRead + far.bytesRead + near.written.length + far.written.length,
  };
}

/** Runs a plan in memory, on a clock of its own. */
export async function judgePlan(bytes: Uint8Array): Promise<Judgement> {
  const plan = readPlan(bytes);
  using clock = new VirtualClock();
  const run = new Run(plan, memoryWire(plan), clock);
  await guarded(run, () => drive(run));
  return run;
}

/** Runs what may not leave an unhandled rejection, nor say anything on the console but what callbacks threw. */
export async function guarded(run: Run, body: () => Promise<void>): Promise<void> {
  const { error } = console;
  const unhandled = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    run.finding(`nobody caught ${event.reason?.stack ?? event.reason}`);
  };
  console.error = (...args: unknown[]) => {
    run.note(`console: ${args.map(String).join(" ")}`);
    const known = args.some((arg) => run.reactions.reported(arg));
    if (!known) run.finding(`the console gets ${args.map(String).join(" ")}`);
  };
  globalThis.addEventListener("unhandledrejection", unhandled);
  try {
    await body();
    await macrotask();
  } catch (thrown) {
    run.finding(`it throws ${(thrown as Error)?.stack ?? thrown}`);
  } finally {
    console.error = error;
    globalThis.removeEventListener("unhandledrejection", unhandled);
  }
}
