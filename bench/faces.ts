// Compares the two drop-in entries with what they replace: ./ws with the npm package ws, on Deno and on Node;
// ./websocket with Deno's own class.
//
//   deno task bench:faces [--quick] [--only ROW]… [--rounds N]

import { latency, megabytes, rate, rssPerConnection } from "./lib/figures.ts";
import { machineLine, versionsLine } from "./lib/machine.ts";
import { client, load } from "./lib/measure.ts";
import { type Peer, type PeerName, preparePeers } from "./lib/peers.ts";
import { missedTargets, notes, table } from "./lib/report.ts";
import type { Row } from "./lib/rows.ts";
import { measureAll } from "./lib/session.ts";
import { readOptions } from "../tools/options.ts";

const { values } = readOptions({
  quick: { type: "boolean", default: false },
  only: { type: "string", multiple: true },
  rounds: { type: "string" },
});
const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
const times = { warmup: 0.5, seconds: values.quick ? 0.6 : 1.5 };
const progress = (text: string) => console.error(text);

const SERVERS: PeerName[] = ["sluice", "ws-deno", "ws"];
const CLIENTS: PeerName[] = ["sluice", "deno"];

const servers: Row[] = [
  {
    id: "10x64x64",
    title: "10 × 64 × 64 B, binary",
    peers: SERVERS,
    measure: load("echo", { connections: 10, depth: 64, size: 64 }),
    figures: [rate("msg/s", { "ws-deno": 8 })],
  },
  {
    id: "10x64x64-text",
    title: "10 × 64 × 64 B, text",
    peers: SERVERS,
    measure: load("echo", { connections: 10, depth: 64, size: 64, text: true }),
    figures: [rate("msg/s")],
  },
  {
    id: "50x1x64",
    title: "50 × 1 × 64 B",
    peers: SERVERS,
    measure: load("echo", { connections: 50, depth: 1, size: 64 }),
    figures: [rate("msg/s", { "ws-deno": 1 }), latency("p50")],
  },
  {
    id: "1x1x64",
    title: "1 × 1 × 64 B",
    peers: SERVERS,
    measure: load("echo", { connections: 1, depth: 1, size: 64 }),
    figures: [latency("p50", { "ws-deno": 1 }), latency("p99")],
  },
  {
    id: "1x8x16384",
    title: "1 × 8 × 16 KiB",
    peers: SERVERS,
    measure: load("echo", { connections: 1, depth: 8, size: 16384 }),
    figures: [megabytes(16384, { "ws-deno": 1.5 })],
  },
  {
    id: "idle",
    title: "2,000 idle connections",
    peers: SERVERS,
    measure: load("idle", { connections: 2000 }),
    times: { warmup: 2, seconds: 0 },
    figures: [rssPerConnection(2000, { "ws-deno": 1 })],
  },
];

const clients: Row[] = [
  {
    id: "client-10x64x64",
    title: "client, 10 × 64 × 64 B",
    peers: CLIENTS,
    measure: client({ connections: 10, depth: 64, size: 64 }),
    figures: [rate("msg/s")],
  },
  {
    id: "client-50x1x64",
    title: "client, 50 × 1 × 64 B",
    peers: CLIENTS,
    measure: client({ connections: 50, depth: 1, size: 64 }),
    figures: [rate("msg/s")],
  },
  {
    id: "client-1x1x64",
    title: "client, 1 × 1 × 64 B",
    peers: CLIENTS,
    measure: client({ connections: 1, depth: 1, size: 64 }),
    figures: [latency("p50"), latency("p99")],
  },
  {
    id: "client-1x8x16384",
    title: "client, 1 × 8 × 16 KiB",
    peers: CLIENTS,
    measure: client({ connections: 1, depth: 8, size: 16384 }),
    figures: [megabytes(16384)],
  },
  {
    id: "client-idle",
    title: "client, 2,000 idle connections",
    peers: CLIENTS,
    measure: client({ connections: 2000, depth: 0 }),
    times: { warmup: 2, seconds: 0 },
    figures: [rssPerConnection(2000)],
  },
];

const found = await preparePeers(
  ["ws-deno", "ws", "deno", "bun"],
  (name, why) => console.log(`Not measured: ${name}: ${why}`),
);
const [onDeno] = found;
const face = (label: string, module: string): Peer => ({
  name: "sluice",
  label,
  runtime: onDeno.runtime,
  module,
});

async function show(rows: Row[], peers: Peer[], shown: PeerName[]): Promise<void> {
  const wanted = rows.filter(({ id }) => values.only === undefined || values.only.includes(id));
  if (wanted.length === 0) return;
  const results = await measureAll(wanted, peers, { rounds, times, progress });
  const visible = peers.filter(({ name }) => shown.includes(name));
  console.log(`${table(results)}\n\n${await versionsLine(visible)}`);
  for (const note of notes(results)) console.log(note);
  for (const miss of missedTargets(results)) console.log(`Missed: ${miss}`);
}

console.log(machineLine());
await show(
  servers,
  [face("./ws", "ws_face.ts"), ...found.filter(({ name }) => SERVERS.includes(name))],
  SERVERS,
);
// All clients connect to the same server: Bun, or else the package on Node.
await show(
  clients,
  [face("./websocket", "websocket_face.ts"), ...found.filter(({ name }) => name !== "ws-deno")],
  CLIENTS,
);
