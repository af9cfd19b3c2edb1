// The table of the comparison, one entry per row. Targets are ratios of ours to the peer.

import { cpuShare, type Figure, latency, megabytes, rate, rssPerConnection } from "./figures.ts";
import { client, load, type Measurement, oneProcess, type Times } from "./measure.ts";
import type { PeerName } from "./peers.ts";

/** One row: a measurement, the peers it makes sense for, and what is read from it. */
export interface Row {
  /** Its name on the command line. */
  id: string;
  /** Its name in the table. */
  title: string;
  /** The peers that are measured. */
  peers: PeerName[];
  /** What is done. */
  measure: Measurement;
  /** What is printed. */
  figures: Figure[];
  /** Its own times, where the common ones don't fit. */
  times?: Times;
  /** Left out of quick runs. */
  slow?: boolean;
}

const everyone: PeerName[] = ["sluice", "system", "deno", "ws", "bun", "tcp"];
const sockets: PeerName[] = ["sluice", "system", "deno", "ws", "bun"];
const MIB = 1024 * 1024;
// Some peers take more than a second of large messages, or of handshakes, to reach their full speed.
const LONG: Times = { warmup: 1.5, seconds: 1.5 };

/** An idle row for a number of connections; bench/idle_memory.ts takes other numbers. */
export function idleRow(connections: number): Row {
  return {
    id: `idle-${connections}`,
    title: `${connections.toLocaleString("en")} idle connections`,
    peers: everyone,
    measure: load("idle", { connections }),
    times: { warmup: 2, seconds: 0 },
    figures: [rssPerConnection(connections, { deno: 0.5, ws: 1.15, bun: 4.4, tcp: 1.3 }, {
      // 5,000 and 3,500 bytes, where a bare socket of Deno's takes 7,450.
      tcp: connections > 5000 ? 0.47 : 0.67,
    })],
    slow: connections > 5000,
  };
}

/** The whole table. */
export const rows: Row[] = [
  {
    id: "10x64x64",
    title: "10 × 64 × 64 B, binary",
    peers: everyone,
    measure: load("echo", { connections: 10, depth: 64, size: 64 }),
    figures: [rate("msg/s", { deno: 16, ws: 16, bun: 1, tcp: 0.5 }, { bun: 1.05 })],
  },
  {
    id: "10x64x64-text",
    title: "10 × 64 × 64 B, text",
    peers: sockets,
    measure: load("echo", { connections: 10, depth: 64, size: 64, text: true }),
    figures: [rate("msg/s", { deno: 10, ws: 10, bun: 0.7 }, { bun: 0.65 })],
  },
  {
    id: "1x64x64",
    title: "1 × 64 × 64 B",
    peers: everyone,
    measure: load("echo", { connections: 1, depth: 64, size: 64 }),
    figures: [rate("msg/s", { deno: 2.4, ws: 2.5, bun: 0.95, tcp: 0.95 }, { bun: 1.5 })],
  },
  {
    id: "50x1x64",
    title: "50 × 1 × 64 B",
    peers: everyone,
    measure: load("echo", { connections: 50, depth: 1, size: 64 }),
    figures: [rate("msg/s", { deno: 0.95, ws: 1.2, bun: 0.7, tcp: 0.97 }, { bun: 1 })],
  },
  {
    id: "1x1x64",
    title: "1 × 1 × 64 B",
    peers: everyone,
    measure: load("echo", { connections: 1, depth: 1, size: 64 }),
    figures: [
      latency("p50", { deno: 1, ws: 1, bun: 1.1, tcp: 1.05 }, { bun: 0.5 }),
      latency("p99", { deno: 1, ws: 1, bun: 1.1, tcp: 1.05 }),
      rate("msg/s"),
    ],
  },
  {
    id: "1x8x16384",
    title: "1 × 8 × 16 KiB",
    peers: everyone,
    measure: load("echo", { connections: 1, depth: 8, size: 16384 }),
    figures: [megabytes(16384, { deno: 1.4, ws: 1.5, bun: 0.74, tcp: 1 }, { bun: 1.2 })],
  },
  {
    id: "4x4x1048576",
    title: "4 × 4 × 1 MiB",
    peers: everyone,
    measure: load("echo", { connections: 4, depth: 4, size: MIB }),
    times: LONG,
    figures: [megabytes(MIB, { deno: 1.5, ws: 1, bun: 0.95, tcp: 0.65 }, { bun: 1.3 })],
  },
  {
    id: "one-process",
    title: "client and server in one process, 1 × 1 × 64 B",
    peers: everyone,
    measure: oneProcess({ connections: 1, depth: 1, size: 64 }),
    figures: [rate("round trips/s", { deno: 1.2, ws: 1, bun: 0.8, tcp: 0.9 }, { bun: 0.9 })],
  },
  {
    id: "client",
    title: "client against one fixed server, 10 × 64 × 64 B",
    peers: sockets,
    measure: client({ connections: 10, depth: 64, size: 64 }),
    figures: [rate("msg/s", { deno: 8, ws: 8 })],
  },
  {
    id: "tls-10x64x64",
    title: "TLS, 10 × 64 × 64 B",
    peers: sockets,
    measure: load("echo", { connections: 10, depth: 64, size: 64 }, { tls: true }),
    figures: [rate("msg/s", { deno: 5, ws: 5 }, { bun: 0.55 })],
  },
  {
    id: "tls-4x4x1048576",
    title: "TLS, 4 × 4 × 1 MiB",
    peers: sockets,
    measure: load("echo", { connections: 4, depth: 4, size: MIB }, { tls: true }),
    times: LONG,
    figures: [megabytes(MIB, { deno: 1.2, ws: 1 }, { deno: 0.8 })],
  },
  {
    id: "tls-1x1x64",
    title: "TLS, 1 × 1 × 64 B",
    peers: sockets,
    measure: load("echo", { connections: 1, depth: 1, size: 64 }, { tls: true }),
    figures: [latency("p50", { deno: 1, ws: 1 })],
  },
  {
    id: "broadcast-1",
    title: "broadcast, 256 B to 1,000 clients, one at a time",
    peers: sockets,
    measure: load("broadcast", { connections: 1000, size: 256, batch: 1 }, { broadcast: true }),
    figures: [rate("deliveries/s", { deno: 0.8, ws: 0.8 }, { bun: 1 })],
  },
  {
    id: "broadcast-16",
    title: "broadcast, 256 B to 1,000 clients, 16 a tick",
    peers: sockets,
    measure: load("broadcast", { connections: 1000, size: 256, batch: 16 }, { broadcast: true }),
    figures: [rate("deliveries/s", { deno: 8, ws: 8, bun: 0.5 }, { bun: 0.7 })],
  },
  {
    id: "handshakes",
    title: "handshakes, 16 at a time, with a clean close",
    peers: sockets,
    measure: load("handshakes", { connections: 16 }),
    times: LONG,
    figures: [rate("handshakes/s", { deno: 1.3, ws: 1 }, { bun: 1 })],
  },
  idleRow(5000),
  idleRow(15000),
  {
    id: "rate-10000",
    title: "10,000 connections, one message each per second",
    peers: everyone,
    measure: load("rate", { connections: 10_000, size: 64 }),
    times: { warmup: 1, seconds: 3 },
    figures: [cpuShare({ deno: 1, ws: 0.8, tcp: 1.1 }, { bun: 1.5 })],
  },
];
