// The load client in TypeScript: for TLS, and where there is no C compiler. See load.c for the modes
// and arguments. One line of JSON on standard output.

import { buildFrames, buildRequest } from "./frames.ts";
import { fromArguments, type LoadResult } from "./options.ts";
import { cpuSeconds, residentBytes } from "../lib/proc.ts";
import { LoadSocket } from "./socket.ts";

const MAX_OPENING = 64;
const MAX_SAMPLES = 1 << 22;

const options = fromArguments(Deno.args);
const { mode, connections, depth, batch, pid } = options;
const frames = buildFrames(options);
const request = buildRequest(options.port);
const samples = new Float64Array(MAX_SAMPLES);
const sockets: LoadSocket[] = [];
let sampleCount = 0;
let measuring = false;
let messages = 0;
let outstanding = 0;

const sleep = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

function sample(since: number): void {
  if (measuring && sampleCount < MAX_SAMPLES) samples[sampleCount++] = performance.now() - since;
}

async function opened(): Promise<LoadSocket> {
  const socket = new LoadSocket(frames);
  await socket.open(options, request);
  return socket;
}

async function openAll(): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next++ < connections) sockets.push(await opened());
  };
  await Promise.all(Array.from({ length: Math.min(connections, MAX_OPENING) }, worker));
}

function echo(): void {
  for (const socket of sockets) {
    socket.read((count) => {
      messages += count;
      if (depth === 1) sample(socket.sentAt);
      socket.send(count);
    });
    socket.send(depth);
  }
}

function broadcast(): void {
  const trigger = () => {
    outstanding = batch * connections;
    sockets[0].send(1);
  };
  for (const socket of sockets) {
    socket.read((count) => {
      messages += count;
      outstanding -= count;
      if (outstanding > 0) return;
      sample(sockets[0].sentAt);
      trigger();
    });
  }
  trigger();
}

function rate(): void {
  for (const socket of sockets) socket.read((count) => messages += count);
  const start = performance.now();
  let sent = 0;
  setInterval(() => {
    const due = (performance.now() - start) / 1000 * connections;
    for (; sent < due; sent++) sockets[sent % connections].send(1);
  }, 1);
}

function handshakes(): void {
  for (let i = 0; i < connections; i++) {
    (async () => {
      for (;; messages++) await (await opened()).close();
    })();
  }
}

function percentile(p: number): number {
  return sampleCount ? samples[Math.floor(p * (sampleCount - 1))] * 1000 : -1;
}

const rssBefore = residentBytes(pid);
if (mode !== "handshakes") await openAll();
({ echo, broadcast, rate, handshakes, idle: () => {} })[mode]();
await sleep(options.warmup);
measuring = true;
const before = messages;
const cpuBefore = cpuSeconds(pid);
const ownBefore = cpuSeconds(Deno.pid);
const start = performance.now();
await sleep(options.seconds);
const seconds = (performance.now() - start) / 1000;
const count = messages - before;
samples.subarray(0, sampleCount).sort();
const result: LoadResult = {
  messages: count,
  bytes: count * frames.expected.length,
  seconds,
  p50: percentile(0.5),
  p99: percentile(0.99),
  cpu: cpuSeconds(pid) - cpuBefore,
  loadCpu: cpuSeconds(Deno.pid) - ownBefore,
  rssBefore,
  rssAfter: residentBytes(pid),
};
console.log(JSON.stringify(result));
Deno.exit(0);
