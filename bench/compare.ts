// Compares Sluice with Deno's native WebSocket, ws on Node, Bun, and a bare TCP echo.
//
//   deno task bench:compare [--quick] [--only ROW]… [--peers a,b] [--rounds N] [--list]
//
// Prints a table; a full run also writes bench/results/compare.md and compare.svg, a partial or
// quick one writes them to bench/results/tmp/.

import { join } from "node:path";
import { chart } from "./lib/chart.ts";
import { machineLine, versionsLine } from "./lib/machine.ts";
import { loadDescription } from "./lib/measure.ts";
import { parsePage } from "./lib/page.ts";
import { type PeerName, preparePeers } from "./lib/peers.ts";
import { missedTargets, notes, page, table } from "./lib/report.ts";
import { rows as allRows } from "./lib/rows.ts";
import { measureAll } from "./lib/session.ts";
import { readOptions } from "../tools/options.ts";

const PEERS: PeerName[] = ["sluice", "system", "deno", "ws", "bun", "tcp"];
const FULL = { rounds: 5, times: { warmup: 0.5, seconds: 1.5 } };
const QUICK = { rounds: 1, times: { warmup: 0.5, seconds: 0.6 } };

const { values } = readOptions({
  quick: { type: "boolean", default: false },
  only: { type: "string", multiple: true },
  peers: { type: "string" },
  rounds: { type: "string" },
  list: { type: "boolean", default: false },
});
const { quick, only } = values;
const wanted = values.peers?.split(",") ?? PEERS;
const unknown = [
  ...(only ?? []).filter((id) => !allRows.some((row) => row.id === id)),
  ...wanted.filter((name) => !PEERS.includes(name as PeerName)),
];
if (values.list || unknown.length > 0) {
  if (unknown.length > 0) {
    console.error(`Cannot measure ${unknown.join(", ")}: no such row or peer`);
  }
  console.log(`rows:  ${allRows.map(({ id }) => id).join(" ")}\npeers: ${PEERS.join(" ")}`);
  Deno.exit(unknown.length > 0 ? 1 : 0);
}

const missing: string[] = [];
const progress = (text: string) => console.error(text);
const peers = await preparePeers(wanted as PeerName[], (name, why) => {
  missing.push(`Left out: ${name}: ${why}.`);
  progress(missing.at(-1)!);
});
const plan = quick ? QUICK : FULL;
const rounds = Number(values.rounds ?? plan.rounds);
const rows = only
  ? allRows.filter(({ id }) => only.includes(id))
  : allRows.filter(({ slow }) => !quick || !slow);
const results = await measureAll(rows, peers, { rounds, times: plan.times, progress });

const machine = machineLine();
const versions = await versionsLine(peers);
const load = await loadDescription();
const date = new Date().toISOString().slice(0, 10);
const complete = !quick && !only && !values.peers;
const directory = join(import.meta.dirname!, "results", complete ? "" : "tmp");
await Deno.mkdir(directory, { recursive: true });
const text = page(results, { rounds, quick, machine, versions, load, date, missing });
await Deno.writeTextFile(join(directory, "compare.md"), text);
await Deno.writeTextFile(join(directory, "compare.svg"), chart(parsePage(text)));

console.log(`${table(results)}\n\n${machine}\n${versions}; load client: ${load}`);
for (const note of [...missing, ...notes(results)]) console.log(note);
for (const miss of missedTargets(results)) console.log(`Missed: ${miss}`);
console.log(`Written to ${complete ? "bench/results/" : "bench/results/tmp/"}`);
