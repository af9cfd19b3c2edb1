// A process' own counters from /proc; 0 where there is no such thing.

function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

/** CPU seconds that process `pid` has used. */
export function serverCpu(pid: number): number {
  const fields = read(`/proc/${pid}/stat`).split(") ")[1]?.split(" ");
  // utime and stime, in ticks, of which Linux has 100 per second everywhere.
  return fields ? (Number(fields[11]) + Number(fields[12])) / 100 : 0;
}

/** Resident bytes of process `pid`. */
export function serverRss(pid: number): number {
  return Number(/VmRSS:\s*(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
}
