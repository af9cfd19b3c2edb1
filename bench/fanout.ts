// One message to many receivers: deliveries per second, compared with `ws` and Deno's own WebSocket in a loop and
// Bun's publish; how much a slow subscriber delays the others; how late timers fire while thousands are written to.
//
//   deno task bench:fanout [--rounds N] [--receivers 10000] [--peers sluice,bun]

import { rate } from "./lib/figures.ts";
import { machineLine, versionsLine } from "./lib/machine.ts";
import { load } from "./lib/measure.ts";
import { type PeerName, preparePeers } from "./lib/peers.ts";
import { pinSelf } from "./lib/process.ts";
import { missedTargets, notes, table } from "./lib/report.ts";
import { type Row, rows as allRows } from "./lib/rows.ts";
import { measureAll } from "./lib/session.ts";
import { measureTopic } from "./lib/topic_measure.ts";
import { readOptions } from "../tools/options.ts";

const { values } = readOptions({
  rounds: { type: "string", default: "3" },
  receivers: { type: "string", default: "10000" },
  peers: { type: "string", default: "sluice,deno,ws,bun" },
});
const progress = (text: string) => console.error(text);

function fewReceivers(connections: number): Row {
  return {
    id: `broadcast-${connections}-receivers`,
    title: `broadcast, 256 B to ${connections} clients, one at a time`,
    peers: ["sluice", "deno", "ws", "bun"],
    measure: load("broadcast", { connections, size: 256, batch: 1 }, { broadcast: true }),
    figures: [rate("deliveries/s")],
  };
}

const peers = await preparePeers(
  values.peers.split(",") as PeerName[],
  (name, why) => progress(`Left out: ${name}: ${why}.`),
);
const rows = [
  fewReceivers(10),
  fewReceivers(100),
  ...allRows.filter(({ id }) => id.startsWith("broadcast-")),
];
const results = await measureAll(rows, peers, {
  rounds: Number(values.rounds),
  times: { warmup: 0.5, seconds: 1.5 },
  progress,
});
console.log(`${table(results)}\n`);
for (const note of [...notes(results), ...missedTargets(results)]) console.log(note);

await pinSelf(1);
const topic = { receivers: 999, size: 1024, every: 50, seconds: 4 };
const p99 = { alone: [] as number[], beside: [] as number[] };
for (let round = 0; round < Number(values.rounds); round++) {
  progress(`${round + 1}/${values.rounds}  a topic of 1,000 without and with a slow subscriber`);
  p99.alone.push((await measureTopic({ ...topic, slow: false })).p99);
  p99.beside.push((await measureTopic({ ...topic, slow: true })).p99);
}
const alone = median(p99.alone), beside = median(p99.beside);
console.log(
  `\nA topic of 1,000: p99 of 999 is ${alone.toFixed(1)} ms, ` +
    `${beside.toFixed(1)} ms with a slow one: ${(beside / alone).toFixed(2)} × (aimed at ≤ 2)`,
);

const receivers = Number(values.receivers);
progress(`timers with ${receivers} subscribers`);
const { late, p99: last } = await measureTopic({
  receivers,
  size: 256,
  every: 1000,
  seconds: 4,
  slow: false,
});
console.log(
  `One message a second to ${receivers}: a timer came at most ${late.toFixed(1)} ms late ` +
    `(aimed at ≤ 50); p99 of the delivery ${last.toFixed(0)} ms`,
);
console.log(`\n${machineLine()}\n${await versionsLine(peers)}`);

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}
