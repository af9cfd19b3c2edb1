import { join } from "../support/bytes.ts";
import { macrotask, VirtualClock } from "../support/virtual_clock.ts";
import { streamsOf, WatchedConn } from "../support/watched_conn.ts";
import { drive } from "./drive.ts";
import { type Plan, readPlan } from "./plan.ts";
import { Run, type Wire } from "./run.ts";

/** The findings of a run, and its events. */
export interface Judgement {
  readonly findings: readonly string[];
  readonly log: readonly string[];
}

/** Makes a wire in memory. */
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

/** Runs a plan in memory, on a virtual clock. */
export async function judgePlan(bytes: Uint8Array): Promise<Judgement> {
  const plan = readPlan(bytes);
  using clock = new VirtualClock();
  const run = new Run(plan, memoryWire(plan), clock);
  await guarded(run, () => drive(run));
  return run;
}

/** Runs a function. Unhandled rejections, and console output other than errors of callbacks, become findings. */
export async function guarded(run: Run, body: () => Promise<void>): Promise<void> {
  const { error } = console;
  const unhandled = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    run.finding(`unhandled rejection: ${event.reason?.stack ?? event.reason}`);
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
