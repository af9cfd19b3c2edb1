import process from "node:process";
import { exponentOf, median } from "./lib/growth.ts";
import { FRAMES, HEADS, LARGE_HEADS, type Shape } from "./hostile_parsers.ts";
import { PILES } from "./hostile_queues.ts";

// Work per byte of input and per entry of a queue: for each shape, time against size. Twice the size may take twice the
// time, and no more. The exponent is that of the line through all sizes. The time is the CPU time of this process,
// which other programs change little, as the median of several samples. A shape that exceeds the limit is measured again,
// since neighbours on the machine may disturb some sizes more than others: superlinear work exceeds the limit each time.

/** The largest exponent that passes: a little above 1, for caches and collections. */
const LIMIT = 1.15;
/** Samples of each size, and the most times that a shape is measured. */
const SAMPLES = 5;
const ATTEMPTS = 10;
/** ms of CPU that a sample has at least: below it the clock is too coarse, and not each sample has its share of garbage. */
const LEAST = 16;

// Up to the default of `maxHeaderBytes`.
const HEAD_BYTES = [1, 2, 4, 8, 16].map((kib) => kib * 1024);
// From some 100,000 objects on the garbage collector decides the time.
const BYTES = [8, 16, 32, 64, 128].map((kib) => kib * 1024);
const ENTRIES = [1000, 2000, 4000, 8000, 16_000];

/** ms of CPU that this process has used. */
function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Runs the work several times; returns the ms of CPU of one run. */
async function timeOf(run: () => unknown, times: number): Promise<number> {
  const start = cpuTime();
  for (let n = 0; n < times; n++) {
    const running = run();
    if (running instanceof Promise) await running;
  }
  return (cpuTime() - start) / times;
}

/** How often to run the work, so that the clock can measure it. */
async function timesFor(run: () => unknown): Promise<number> {
  let times = 1;
  while (await timeOf(run, times) * times < LEAST && times < 4096) times *= 2;
  return times;
}

/**
 * Measures a shape at each size. The sizes take turns, so that a slow period of the process, or a change of compiled
 * code, affects all of them.
 */
async function measure(make: Shape, sizes: readonly number[]): Promise<[number, number][]> {
  const runs: { run: () => unknown; times: number; costs: number[] }[] = [];
  for (const size of sizes) {
    const run = make(size);
    runs.push({ run, times: await timesFor(run), costs: [] });
  }
  for (let i = 0; i < SAMPLES; i++) {
    for (const { run, times, costs } of runs) costs.push(await timeOf(run, times));
  }
  return runs.map(({ costs }, at) => [sizes[at], median(costs)]);
}

/** Prints the tables; returns 1 if a shape is superlinear. */
export async function measureWork(only = ""): Promise<number> {
  const bad: string[] = [];
  const table = async (shapes: Record<string, Shape>, sizes: number[], unit: string) => {
    const heads = sizes.map((size) => size % 1024 === 0 ? `${size / 1024} KiB` : `${size}`);
    console.log(`ns per ${unit}:\n\n| shape | ${heads.join(" | ")} | exponent |`);
    console.log(`|---|${sizes.map(() => "---|").join("")}---|`);
    for (const [name, make] of Object.entries(shapes)) {
      if (!name.includes(only)) continue;
      let points = await measure(make, sizes);
      for (let i = 1; i < ATTEMPTS && exponentOf(points) > LIMIT; i++) {
        const again = await measure(make, sizes);
        if (exponentOf(again) < exponentOf(points)) points = again;
      }
      const exponent = exponentOf(points);
      if (exponent > LIMIT) bad.push(`${name}: exponent ${exponent.toFixed(2)}`);
      const costs = points.map(([size, cost]) => (cost * 1e6 / size).toFixed(1));
      console.log(`| ${name} | ${costs.join(" | ")} | ${exponent.toFixed(2)} |`);
    }
    console.log();
  };
  await table(HEADS, HEAD_BYTES, "byte");
  await table(LARGE_HEADS, BYTES, "byte");
  await table(FRAMES, BYTES, "byte");
  await table(PILES, ENTRIES, "entry");
  for (const line of bad) console.log(`FAILED: ${line}, at most ${LIMIT} is linear`);
  return bad.length === 0 ? 0 : 1;
}
