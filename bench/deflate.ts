// Compares permessage-deflate with `ws` on Node at the same settings: messages per second and bytes on the
// wire of an echo, memory of connections that have compressed once, and how late timers get while a
// long message is in the codec.
//
//   deno task bench:deflate [--quick] [--rounds N] [--level 6] [--only echo,memory,timers]

import { join } from "node:path";
import { npmPackage } from "./lib/cache.ts";
import { machineLine } from "./lib/machine.ts";
import { WS_VERSION } from "./lib/peers.ts";
import { residentBytes } from "./lib/proc.ts";
import { Child, type Core } from "./lib/process.ts";
import { readOptions } from "../tools/options.ts";

const HERE = import.meta.dirname!;
const DENO = [Deno.execPath(), "run", "-A", "--no-check", "--quiet"];

const { values } = readOptions({
  quick: { type: "boolean", default: false },
  rounds: { type: "string", default: "" },
  level: { type: "string", default: "6" },
  only: { type: "string", default: "echo,memory,timers" },
});
const rounds = Number(values.rounds || (values.quick ? 1 : 3));
const seconds = values.quick ? 1 : 3;
const level = Number(values.level);
const parts = values.only.split(",");

/** The lowest ratio of Sluice's figure to that of `ws` that passes. */
const AIMS: Record<string, number> = { "1024 true": 1.5 };

interface Peer {
  name: string;
  command: string[];
}

const environment = { BENCH_MODULES: await npmPackage("ws", WS_VERSION) };
const peers: Peer[] = [
  { name: "Sluice", command: [...DENO, join(HERE, "peers", "deflate_sluice.ts")] },
  { name: `ws ${WS_VERSION}`, command: ["node", join(HERE, "peers", "deflate_ws.mjs")] },
];

async function start(peer: Peer, settings: object): Promise<{ child: Child; port: number }> {
  const child = new Child([...peer.command, JSON.stringify(settings)], 0, environment);
  const [, port] = await child.line(/listening on \S+:(\d+)\//, 20_000);
  return { child, port: Number(port) };
}

async function script(name: string, args: string[], core: Core): Promise<Record<string, number>> {
  await using child = new Child([...DENO, join(HERE, name), ...args], core, {});
  const [line] = await child.line(/^\{.*\}$/, 120_000);
  return JSON.parse(line);
}

function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
}

async function echo(): Promise<void> {
  console.log(
    `\nEcho of JSON, 4 connections x 4 in flight, level ${level}, memLevel 8. The ratio is of`,
  );
  console.log(
    "messages per CPU second of the server: other processes disturb that less than the rate.\n",
  );
  console.log(
    "| bytes | takeover | Sluice msg/s | ws msg/s | Sluice per CPU s | ws per CPU s | ratio | aim | wire |",
  );
  console.log("|---|---|---|---|---|---|---|---|---|");
  for (const takeover of [true, false]) {
    for (const size of [128, 1024, 16384, 1 << 20]) {
      const results: Record<string, number>[][] = [[], []];
      for (let round = 0; round < rounds; round++) {
        for (const turn of [0, 1]) {
          // Each round begins with another server.
          const index = (turn + round) % 2;
          const { child, port } = await start(peers[index], { takeover, level });
          await using _child = child;
          const { pid } = child;
          const load = { pid, size, takeover, connections: 4, inFlight: 4, seconds, warmup: 0.5 };
          const args = [String(port), JSON.stringify(load)];
          results[index].push(await script(join("load", "deflate_load.ts"), args, 1));
        }
      }
      console.log(echoRow(size, takeover, results));
    }
  }
}

function echoRow(size: number, takeover: boolean, results: Record<string, number>[][]): string {
  const rates = results.map((of) => median(of.map(({ messages, seconds }) => messages / seconds)));
  const efforts = results.map((of) => median(of.map(({ messages, cpu }) => messages / cpu)));
  const wires = results.map((of) => median(of.map(({ messages, wire }) => wire / messages)));
  const ratio = efforts[0] / efforts[1], aim = AIMS[`${size} ${takeover}`] ?? 1;
  const busiest = Math.max(...results.flat().map(({ busy }) => busy));
  const cells = [
    size,
    takeover,
    ...rates.map((rate) => rate.toFixed(0)),
    ...efforts.map((effort) => effort.toFixed(0)),
    ratio.toFixed(2),
    `${aim}${ratio < aim ? " missed" : ""}${busiest > 0.9 ? " (the load was busy)" : ""}`,
    wires.map((wire) => wire.toFixed(0)).join(" / "),
  ];
  return `| ${cells.join(" | ")} |`;
}

async function memory(): Promise<void> {
  const connections = 300;
  console.log(`\nResident memory per connection that has compressed once, of ${connections}\n`);
  console.log("| takeover | Sluice KiB | ws KiB |\n|---|---|---|");
  for (const takeover of [true, false]) {
    const used: number[] = [];
    for (const peer of peers) {
      const { child, port } = await start(peer, { takeover, level });
      await using _child = child;
      const open = async (count: number, wait: number) => {
        const load = { size: 2048, takeover, connections: count };
        const loader = new Child(
          [...DENO, join(HERE, "load", "deflate_once.ts"), String(port), JSON.stringify(load)],
          1,
          {},
        );
        await loader.line(/^ready$/, 60_000);
        await new Promise((resolve) => setTimeout(resolve, wait));
        return loader;
      };
      // The first connections also pay for loading and compiling code, so only the others count.
      await using _warm = await open(20, 1000);
      const before = residentBytes(child.pid);
      await using _all = await open(connections, 2000);
      used.push((residentBytes(child.pid) - before) / connections / 1024);
    }
    console.log(`| ${takeover} | ${used.map((kib) => kib.toFixed(0)).join(" | ")} |`);
  }
}

async function timers(): Promise<void> {
  console.log(
    "\nA timer of 10 ms while a message of 64 MiB goes through both codecs of one process\n",
  );
  console.log("| data | seconds | latest ms |\n|---|---|---|");
  for (const data of ["json", "zeros", "noise"]) {
    const result = await script("deflate_timers.ts", [data, String(level)], 0);
    console.log(`| ${data} | ${result.seconds.toFixed(2)} | ${result.late.toFixed(1)} |`);
  }
}

console.log(machineLine());
if (parts.includes("echo")) await echo();
if (parts.includes("memory")) await memory();
if (parts.includes("timers")) await timers();
