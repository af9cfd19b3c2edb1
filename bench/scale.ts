// Measures how throughput, latency and memory grow with connections, message size, and receivers of a broadcast.
//
//   deno task bench:scale [--quick] [--only connections|size|receivers]
//
// Prints tables; a full run also writes bench/results/scale.md and scale.svg, another one writes them to
// bench/results/tmp/.

import { join } from "node:path";
import type { LoadOptions } from "./load/options.ts";
import { type Curve, lineChart } from "./lib/line_chart.ts";
import { machineLine, versionsLine } from "./lib/machine.ts";
import { load, type Sample } from "./lib/measure.ts";
import { type Peer, preparePeers } from "./lib/peers.ts";
import { stretch } from "./lib/proc.ts";
import { formatNumber } from "./lib/report.ts";
import { readOptions, refuse } from "../tools/options.ts";

interface Series {
  id: string;
  title: string;
  mode: LoadOptions["mode"];
  values: number[];
  options(value: number): Omit<LoadOptions, "mode" | "port">;
  /** What a series counts, and how often per message. */
  unit: string;
  perMessage(value: number): number;
}

const MIB = 1024 * 1024;
const ALL: Series[] = [
  {
    id: "connections",
    title: "connections, one message of 64 B in flight on each",
    mode: "echo",
    values: [1, 10, 100, 1000, 10_000],
    options: (connections) => ({ connections, depth: 1, size: 64 }),
    unit: "msg/s",
    perMessage: () => 1,
  },
  {
    id: "size",
    title: "bytes of a message, one in flight",
    mode: "echo",
    values: [16, 256, 4096, 65_536, MIB, 16 * MIB],
    options: (size) => ({ connections: 1, depth: 1, size }),
    unit: "MB/s",
    perMessage: (size) => size / 1e6,
  },
  {
    id: "receivers",
    title: "receivers of a broadcast of 256 B",
    mode: "broadcast",
    values: [1, 10, 100, 1000],
    options: (connections) => ({ connections, size: 256, batch: 1 }),
    unit: "deliveries/s",
    perMessage: () => 1,
  },
];

const { values: flags } = readOptions({
  quick: { type: "boolean", default: false },
  only: { type: "string" },
});
const chosen = ALL.filter(({ id }) => flags.only === undefined || id === flags.only);
if (chosen.length === 0) {
  refuse(`Cannot measure ${flags.only}: use ${ALL.map(({ id }) => id).join(", ")}`);
}
const times = flags.quick ? { warmup: 0.3, seconds: 0.5 } : { warmup: 1, seconds: 2 };
const rounds = flags.quick ? 1 : 3;

const [peer] = await preparePeers(["sluice"], (_, why) => {
  throw new Error(why);
});

interface Point {
  value: number;
  rate: number;
  p50: number;
  rss: number;
}

async function measure(series: Series, value: number, peer: Peer): Promise<Point> {
  const samples: Sample[] = [];
  const server = { broadcast: series.mode === "broadcast" };
  for (let round = 0; round < rounds; round++) {
    samples.push(await load(series.mode, series.options(value), server)(peer, times, [peer]));
  }
  const median = (figure: (sample: Sample) => number) =>
    samples.map(figure).toSorted((a, b) => a - b)[samples.length >> 1];
  return {
    value,
    rate: median(({ messages, seconds }) => messages / seconds) * series.perMessage(value),
    p50: median(({ p50 }) => p50!),
    rss: median(({ rssAfter }) => rssAfter!) / 1e6,
  };
}

/** The exponent of y = c·x^e through the points, by least squares. */
function exponent(points: { x: number; y: number }[]): number {
  const logs = points.map(({ x, y }) => [Math.log(x), Math.log(Math.max(y, 1e-9))]);
  const mean = (i: number) => logs.reduce((sum, log) => sum + log[i], 0) / logs.length;
  const mx = mean(0), my = mean(1);
  const over = logs.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0);
  return over / logs.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
}

function growth({ title, points }: Curve): string {
  // A constant share hides growth among the small values, so the upper three points decide.
  const e = exponent(points.slice(-3));
  const word = e < -0.15
    ? "falls"
    : e <= 0.15
    ? "is flat"
    : e < 0.85
    ? "grows less than linearly"
    : e <= 1.15
    ? "grows linearly"
    : "grows MORE than linearly";
  return `${title}: ${word} (exponent ${e.toFixed(2)} over the largest three)`;
}

const end = stretch();
const curves: Curve[] = [];
const parts: string[] = [];
for (const series of chosen) {
  const points: Point[] = [];
  for (const value of series.values) {
    // A series that fails is named, and the others still run.
    try {
      points.push(await measure(series, value, peer));
      console.error(`${series.id} ${value}: ${formatNumber(points.at(-1)!.rate)} ${series.unit}`);
    } catch (error) {
      parts.push(`Not measured: ${series.id} ${value}: ${(error as Error).message}`, "");
      console.error(parts.at(-2));
    }
  }
  if (points.length < 3) continue;
  const curve = (name: string, unit: string, y: (point: Point) => number): Curve => ({
    title: `${name} by ${series.id}`,
    unit,
    points: points.map((point) => ({ x: point.value, y: y(point) })),
  });
  const three = [
    curve("Throughput", series.unit, ({ rate }) => rate),
    curve("Latency", "p50, µs", ({ p50 }) => p50),
    curve("Memory", "MB of RSS", ({ rss }) => rss),
  ];
  curves.push(...three);
  parts.push(
    `## By ${series.id}`,
    "",
    `| ${series.title} | ${series.unit} | p50, µs | RSS, MB |`,
    "| ---: | ---: | ---: | ---: |",
    ...points.map(({ value, rate, p50, rss }) =>
      `| ${[value, rate, p50, rss].map(formatNumber).join(" | ")} |`
    ),
    "",
    ...three.map((each) => `- ${growth(each)}`),
    "",
  );
}
const { available, others } = end();
const note = `Other processes took ${(others / available * 100).toFixed(1)} % of the machine.`;
const lines = [machineLine(), await versionsLine([peer]), note];
const complete = !flags.quick && flags.only === undefined;
const directory = join(import.meta.dirname!, "results", complete ? "" : "tmp");
await Deno.mkdir(directory, { recursive: true });
const made = `Made by \`deno task bench:scale${flags.quick ? " --quick" : ""}\`: median of ` +
  `${rounds} round${rounds === 1 ? "" : "s"}.`;
const text = ["# Growth", "", made, ...lines, "", "![Chart](scale.svg)", "", ...parts].join("\n");
await Deno.writeTextFile(join(directory, "scale.md"), text);
await Deno.writeTextFile(join(directory, "scale.svg"), lineChart(curves, "Sluice: growth"));
console.log([...parts, ...lines].join("\n"));
console.log(`Written to ${complete ? "bench/results/" : "bench/results/tmp/"}`);
