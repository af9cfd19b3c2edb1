// WebSockets that share a connection over HTTP/2 beside connections of their own over HTTP/1.1, both over TLS:
//
//   deno task bench:http2 [--rounds N] [--seconds N] [--only LOAD]
//
// Server and client are processes of their own, each on its core, and are started again for each figure. The versions
// alternate. Prints medians with their range.

import { certificate } from "./lib/cache.ts";
import { machineLine, versionsLine } from "./lib/machine.ts";
import { denoScript, runScript } from "./lib/peers.ts";
import { residentBytes } from "./lib/proc.ts";
import { readOptions } from "../tools/options.ts";

const { values } = readOptions({
  rounds: { type: "string", default: "3" },
  seconds: { type: "string", default: "2" },
  only: { type: "string" },
});
const rounds = Number(values.rounds), seconds = Number(values.seconds);
const PATIENCE = 60_000;
/** How long an idle server is left alone before it is looked at, in ms. */
const QUIET = 2000;
/** How many clients an idle server has had before. */
const WARM_UP = 2;

interface Load {
  sockets: number;
  /** Messages that each has on their way. */
  depth: number;
  size: number;
}

const loads: Record<string, Load> = {
  "echo of 64 B, 1 x 64 in flight": { sockets: 1, depth: 64, size: 64 },
  "echo of 64 B, 10 x 64 in flight": { sockets: 10, depth: 64, size: 64 },
  "echo of 64 KiB, 1 x 4 in flight": { sockets: 1, depth: 4, size: 64 * 1024 },
  "echo of 64 KiB, 10 x 4 in flight": { sockets: 10, depth: 4, size: 64 * 1024 },
  "64 B, one at a time": { sockets: 1, depth: 1, size: 64 },
  "100 idle sockets": { sockets: 100, depth: 0, size: 0 },
};

/** Figures by their units. */
type Figures = Record<string, number>;

const files = await certificate();

async function measure(load: Load, version: string): Promise<Figures> {
  await using server = runScript(
    [...denoScript("http2_process.ts"), "serve", JSON.stringify({ ...files, version })],
    0,
  );
  const [, port] = await server.line(/^listening (\d+)$/, PATIENCE);
  const start = (load: Load) => {
    const options = { ...files, ...load, version, port: Number(port), seconds };
    const command = [...denoScript("http2_process.ts"), "load", JSON.stringify(options)];
    return runScript(command, 1);
  };
  if (load.depth > 0) {
    await using client = start(load);
    const [line] = await client.line(/^\{.*\}$/, PATIENCE);
    return figuresOf(load, JSON.parse(line));
  }
  // What code and pools take with the first connections isn't a connection's.
  for (let n = 0; n < WARM_UP; n++) {
    await using client = start({ ...load, sockets: 10 });
    await client.line(/^\{.*\}$/, PATIENCE);
  }
  await pause(QUIET);
  const before = residentBytes(server.pid);
  await using client = start(load);
  await client.line(/^\{.*\}$/, PATIENCE);
  await pause(QUIET);
  return { "KiB each": (residentBytes(server.pid) - before) / load.sockets / 1024 };
}

function figuresOf({ depth, size }: Load, { messages, took, p50, p99 }: Figures): Figures {
  if (depth === 1) return { "µs, p50": p50, "µs, p99": p99, "msg/s": messages / took };
  return size > 1024
    ? { "MB/s": messages * size / took / 1e6 }
    : { "thousand msg/s": messages / took / 1000 };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function median(figures: number[]): string {
  const sorted = figures.toSorted((a, b) => a - b);
  const show = (value: number) => value.toFixed(value < 100 ? 1 : 0);
  return `${show(sorted[sorted.length >> 1])} (${show(sorted[0])} to ${show(sorted.at(-1)!)})`;
}

console.log("| load | unit | HTTP/1.1 | HTTP/2 |\n| --- | --- | ---: | ---: |");
for (const [name, load] of Object.entries(loads)) {
  if (values.only !== undefined && !name.includes(values.only)) continue;
  const seen: Record<string, Figures[]> = { "1.1": [], "2": [] };
  for (let round = 0; round < rounds; round++) {
    const versions = round % 2 === 0 ? ["1.1", "2"] : ["2", "1.1"];
    for (const version of versions) seen[version].push(await measure(load, version));
  }
  for (const unit of Object.keys(seen["2"][0])) {
    const [one, two] = ["1.1", "2"].map((version) => median(seen[version].map((of) => of[unit])));
    console.log(`| ${name} | ${unit} | ${one} | ${two} |`);
  }
}
console.log(`\n${machineLine()}\n${await versionsLine([])}`);
