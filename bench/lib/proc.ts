// A process' own counters from /proc; 0 where there is no /proc.

function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

// Linux has 100 ticks per second everywhere.
const TICKS = 100;

/** CPU seconds that process `pid` has used. */
export function cpuSeconds(pid: number): number {
  const fields = read(`/proc/${pid}/stat`).split(") ")[1]?.split(" ");
  return fields ? (Number(fields[11]) + Number(fields[12])) / TICKS : 0;
}

/** Resident bytes of process `pid`. */
export function residentBytes(pid: number): number {
  return Number(/VmRSS:\s*(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
}

/** A period on the machine. */
export interface Stretch {
  /** CPU seconds that the period had. */
  available: number;
  /** CPU seconds that other processes took of them. */
  others: number;
}

/** Starts a period; call the returned function at its end, when all children have ended. */
export function stretch(): () => Stretch {
  const start = performance.now();
  const before = cpuAccount();
  return () => {
    const after = cpuAccount();
    const others = (after.machine - before.machine) - (after.ours - before.ours);
    const seconds = (performance.now() - start) / 1000;
    return { available: seconds * navigator.hardwareConcurrency, others: Math.max(0, others) };
  };
}

// Since the start: the time of the whole machine, and the time of this process and its ended children, which
// includes the interrupts that they were charged with.
function cpuAccount(): { machine: number; ours: number } {
  const [user, nice, system, , , irq, softirq] = read("/proc/stat").split(/\s+/).slice(1).map(
    Number,
  );
  const own = read("/proc/self/stat").split(") ")[1]?.split(" ").slice(11, 15).map(Number);
  const ours = (own ?? []).reduce((sum, ticks) => sum + ticks, 0);
  return { machine: (user + nice + system + irq + softirq) / TICKS, ours: ours / TICKS };
}
