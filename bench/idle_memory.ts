// Measures what an idle connection costs: resident bytes per connection of each server.
//
//   deno task bench:idle [--connections N] [--peers a,b] [--rounds N]

import { machineLine, versionsLine } from "./lib/machine.ts";
import { type PeerName, preparePeers } from "./lib/peers.ts";
import { notes, table } from "./lib/report.ts";
import { idleRow } from "./lib/rows.ts";
import { measureAll } from "./lib/session.ts";
import { readOptions } from "../tools/options.ts";

const { values } = readOptions({
  connections: { type: "string", default: "5000" },
  peers: { type: "string", default: "sluice,system,deno,ws,bun,tcp" },
  rounds: { type: "string", default: "1" },
});
const progress = (text: string) => console.error(text);
const peers = await preparePeers(
  values.peers.split(",") as PeerName[],
  (name, why) => console.log(`Not measured: ${name}: ${why}`),
);
const row = idleRow(Number(values.connections));
const rounds = Number(values.rounds);
const times = { warmup: 2, seconds: 0 };
const results = await measureAll([row], peers, { rounds, times, progress });
console.log(`${table(results)}\n\n${machineLine()}\n${await versionsLine(peers)}`);
for (const note of notes(results)) console.log(note);
