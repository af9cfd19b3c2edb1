// A process' own counters from /proc; 0 where there is no such thing.

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

/** CPU seconds since the start: of the whole machine, and of this process and its ended children. */
export function cpuAccount(): { machine: number; ours: number } {
  const [user, nice, system] = read("/proc/stat").split(/\s+/).slice(1, 4).map(Number);
  const own = read("/proc/self/stat").split(") ")[1]?.split(" ").slice(11, 15).map(Number);
  const ours = (own ?? []).reduce((sum, ticks) => sum + ticks, 0);
  return { machine: (user + nice + system) / TICKS, ours: ours / TICKS };
}
