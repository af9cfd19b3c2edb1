import { cpus, release, totalmem, type } from "node:os";
import { attempt } from "./cache.ts";
import type { Peer } from "./peers.ts";
import { pinning } from "./process.ts";

/** Processor, memory and kernel, in a line. */
export function machineLine(): string {
  const cores = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${
    cores[0].model.trim()
  }, ${cores.length} cores, ${memory} GiB, ${type()} ${release()}; ` +
    pinning;
}

/** Versions of everything that was measured, in a line. */
export async function versionsLine(peers: Peer[]): Promise<string> {
  const { deno, v8 } = Deno.version;
  const versions = [`Deno ${deno} (V8 ${v8})`];
  for (const { name, runtime, version } of peers) {
    if (name === "bun") versions.push(`Bun ${version}`);
    if (name === "ws") versions.push(`ws ${version}`, `Node ${await attempt(...runtime, "-v")}`);
  }
  return versions.join(", ");
}
