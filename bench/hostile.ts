// Measures what honest clients notice of an attack, and what an attack costs:
//
//   deno task bench:hostile [--scenario NAME] [--attackers 10000] [--honest 100] [--seconds 10]
//   deno task bench:hostile --work [--shape NAME]
//
// Each honest client sends one echo at a time, first alone and then under attack: by 10,000 attackers of mixed kinds,
// and then, each with a server of its own, by floods of one kind. Prints the clients' latencies and the server's memory.
// Ends with 1 if p99 rises to ten times its value without an attack, an honest client fails, memory exceeds the formula
// of docs/security.md, or the server has ended. With SLUICE_TEST_SOCKETS=system the server's sockets are the kernel's own.
// `--work` measures CPU time against size instead, for each shape of input.

import { setPriority } from "node:os";
import { type Connection, Context } from "../mod.ts";
import { cpuSeconds, residentBytes } from "./lib/proc.ts";
import { Child } from "./lib/process.ts";
import { type Attackers, type Scenario, scenarios } from "./hostile_scenarios.ts";
import { measureWork } from "./hostile_work.ts";
import { readOptions } from "../tools/options.ts";

const { values } = readOptions({
  scenario: { type: "string", default: "" },
  attackers: { type: "string", default: "10000" },
  honest: { type: "string", default: "100" },
  seconds: { type: "string", default: "10" },
  work: { type: "boolean", default: false },
  shape: { type: "string", default: "" },
});
const honest = Number(values.honest), seconds = Number(values.seconds);
// From one echo of a client to its next: 100 of them make 1,000 echoes per second.
const INTERVAL = 100;
/** ms that an echo may take before its client counts as failed. */
const PATIENCE = 10_000;
/** The largest p99 that passes, as a multiple of its value without an attack. */
const SLOWER = 10;
/** Bytes of garbage that a busy server may hold at any time, even with few attackers. */
const GARBAGE = 96 * 1024 * 1024;
const HERE = new URL(".", import.meta.url);

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Starts a program of the project, with a limit of descriptors if one is given. */
function start(descriptors: number, path: string, ...args: string[]): Child {
  const command = [
    Deno.execPath(),
    "run",
    "-A",
    "--no-check",
    new URL(path, HERE).pathname,
    ...args,
  ];
  const limited = ["sh", "-c", `ulimit -n ${descriptors} && exec "$0" "$@"`, ...command];
  // On any core, since the server's collector has threads of its own: on one core they would delay its main thread.
  return new Child(descriptors === 0 ? command : limited, null, {});
}

interface Latencies {
  count: number;
  failed: number;
  p50: number;
  p99: number;
  max: number;
}

/** The honest clients, which connect before the attack begins. */
async function connect(ctx: Context, url: string): Promise<Connection[]> {
  const conns = Array.from(
    { length: honest },
    () => ctx.connect(url, { keepAlive: false, onError: () => {} }),
  );
  await Promise.all(conns.map((conn) => conn.opened));
  return conns;
}

/** Latencies of honest clients over a period. */
async function measure(conns: Connection[], seconds: number): Promise<Latencies> {
  const latencies: number[] = [];
  // When each echo was asked for. A timer for each would be work that disturbs the measurement.
  const waiting = new Map<Connection, number>();
  const patience = setInterval(() => {
    for (const [conn, since] of waiting) {
      if (performance.now() - since > PATIENCE) conn.terminate();
    }
  }, 1000);
  let failed = 0;
  const end = performance.now() + seconds * 1000;
  await Promise.all(conns.map(async (conn, i) => {
    // Each client sends at its own times, even after a delay: clients that were all delayed must not fall into step.
    let due = performance.now() + INTERVAL * i / honest;
    try {
      for (; due < end; due += INTERVAL) {
        await pause(Math.max(0, due - performance.now()));
        const text = `honest ${i} ${performance.now()}`, start = performance.now();
        waiting.set(conn, start);
        conn.send(text);
        const echo = await conn.receive();
        waiting.delete(conn);
        if (echo !== text) throw new Error("Another echo");
        latencies.push(performance.now() - start);
      }
    } catch (error) {
      failed++;
      if (failed === 1) console.error(`An honest client has failed: ${error}`);
    }
  }));
  clearInterval(patience);
  latencies.sort((a, b) => a - b);
  const at = (share: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? Infinity;
  return { count: latencies.length, failed, p50: at(0.5), p99: at(0.99), max: at(1) };
}

/**
 * Waits until the server's core isn't full any more. While thousands of attackers connect it is full, and then chance
 * decides which clients are served (docs/scaling.md, "A core that is full"). The wait is bounded, since floods keep the
 * core full.
 */
async function roomOnCore(pid: number): Promise<void> {
  let busy = 1;
  for (let i = 0; busy > 0.8 && i < 25; i++) {
    const before = cpuSeconds(pid), start = performance.now();
    await pause(200);
    busy = (cpuSeconds(pid) - before) / ((performance.now() - start) / 1000);
  }
}

const ms = (value: number) => value.toFixed(2);
const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(0);

/** Whether the server still serves new clients after the attack. */
async function serves(ctx: Context, url: string): Promise<boolean> {
  const conn = ctx.connect(url, { onError: () => {} });
  try {
    await conn.opened;
    conn.send("still there?");
    return await conn.receive({ signal: AbortSignal.timeout(PATIENCE) }) === "still there?";
  } catch {
    return false;
  } finally {
    conn.terminate();
  }
}

/** Runs one scenario; returns what is wrong. */
async function run(
  { name, server: options, face, held, descriptors, attackers }: Scenario,
): Promise<string[]> {
  const args = [JSON.stringify(options), face];
  await using server = start(descriptors, "./hostile_server.ts", ...args);
  const ctx = new Context();
  try {
    const [port] = await server.line(/^\d+$/, PATIENCE);
    const url = `ws://127.0.0.1:${port}/`;
    const conns = await connect(ctx, url);
    await measure(conns, Math.min(2, seconds));
    const quiet = await measure(conns, seconds);
    const before = residentBytes(server.pid);
    const { attacked, grown } = await attackedBy(attackers, server.pid, port, async () => ({
      attacked: await measure(conns, seconds),
      grown: residentBytes(server.pid) - before,
    }));
    const alive = await serves(ctx, url);
    const allowed = attackers.reduce((sum, { count, may }) => sum + count * may, GARBAGE);
    const times = attacked.p99 / quiet.p99;
    const latencies = [quiet.p50, quiet.p99, attacked.p50, attacked.p99, attacked.max, times];
    const failed = quiet.failed + attacked.failed;
    const row = [name, ...latencies.map(ms), failed, mib(grown), mib(allowed)];
    console.log(`| ${row.join(" | ")} |`);
    return [
      held && !(times < SLOWER) && `p99 is ${ms(times)} times its quiet value`,
      held && failed > 0 && "honest clients failed",
      grown > allowed &&
      `memory has grown by ${mib(grown)} MiB, the formula allows ${mib(allowed)}`,
      !alive && "the server has gone",
    ].filter((failure) => failure !== false).map((failure) => `${name}: ${failure}`);
  } finally {
    await ctx.shutdown({ timeout: 0 });
  }
}

/** Returns the result of `look`, which runs while a server is attacked. */
async function attackedBy<Seen>(
  attackers: readonly Attackers[],
  server: number,
  port: string,
  look: () => Promise<Seen>,
): Promise<Seen> {
  const parts = attackers.map(({ kind, count, extra = 0 }) => `${kind}:${count}:${extra}`);
  await using attack = start(0, "../tests/hostile/programs/attack.ts", port, ...parts);
  // Attackers stand for other machines, so they must not take the core of the honest clients on this one.
  setPriority(attack.pid, 19);
  await attack.line(/^ready$/, 180_000);
  await roomOnCore(server);
  return await look();
}

async function main(): Promise<number> {
  const chosen = scenarios(Number(values.attackers))
    .filter(({ name }) => name.includes(values.scenario));
  const failures: string[] = [];
  console.log(
    `${honest} honest clients, ${values.attackers} attackers in "mixed", ${seconds} s each\n`,
  );
  console.log(
    "| attack | quiet p50 ms | quiet p99 | p50 | p99 | max | p99 × | failed | MiB grown | MiB allowed |",
  );
  console.log("|---|---|---|---|---|---|---|---|---|---|");
  for (const scenario of chosen) failures.push(...await run(scenario));
  console.log(`\np99 × is how many times its quiet value it is: below ${SLOWER} is required`);
  for (const failure of failures) console.log(`FAILED: ${failure}`);
  return failures.length === 0 ? 0 : 1;
}

Deno.exit(values.work ? await measureWork(values.shape) : await main());
