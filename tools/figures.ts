// Writes the tables of README.md and docs/performance.md, and the chart, from bench/results/compare.md, so that every
// figure there was measured, and the larger table leaves out none.
//
//   deno run --allow-read --allow-write --allow-run=deno tools/figures.ts [--check]

import { chart } from "../bench/lib/chart.ts";
import { type Line, parsePage } from "../bench/lib/page.ts";
import { readOptions } from "./options.ts";

const { values } = readOptions({ check: { type: "boolean" } });

/** Descriptions of the loads, by their titles in the results. */
const WORDS: Record<string, string> = {
  "10 × 64 × 64 B, binary": "Echo of 64 bytes, 10 connections, 64 in flight on each",
  "10 × 64 × 64 B, text": "The same as text",
  "1 × 64 × 64 B": "Echo of 64 bytes, 1 connection, 64 in flight",
  "50 × 1 × 64 B": "Echo of 64 bytes, 50 connections, 1 in flight on each",
  "1 × 1 × 64 B": "Echo of 64 bytes, 1 connection, 1 in flight",
  "1 × 8 × 16 KiB": "Echo of 16 KiB, 1 connection, 8 in flight",
  "4 × 4 × 1 MiB": "Echo of 1 MiB, 4 connections, 4 in flight on each",
  "client and server in one process, 1 × 1 × 64 B": "Client and server in one process, 1 in flight",
  "client against one fixed server, 10 × 64 × 64 B":
    "The client alone, 10 connections, 64 in flight",
  "TLS, 10 × 64 × 64 B": "TLS: 64 bytes, 10 connections, 64 in flight on each",
  "TLS, 4 × 4 × 1 MiB": "TLS: 1 MiB, 4 connections, 4 in flight on each",
  "TLS, 1 × 1 × 64 B": "TLS: 64 bytes, 1 connection, 1 in flight",
  "broadcast, 256 B to 1,000 clients, one at a time":
    "Broadcast of 256 bytes to 1,000, one at a time",
  "broadcast, 256 B to 1,000 clients, 16 a tick": "Broadcast of 256 bytes to 1,000, 16 at once",
  "handshakes, 16 at a time, with a clean close": "Connect and close, 16 at a time",
  "5,000 idle connections": "5,000 idle connections",
  "15,000 idle connections": "15,000 idle connections",
  "10,000 connections, one message each per second": "10,000 connections, a message a second each",
};

const UNITS: Record<string, string> = {
  "p50, µs": "µs, half of them",
  "p99, µs": "µs, 99 of 100",
  "bytes of RSS per connection": "bytes each",
};

/** The loads that the README has, in its order. */
const FEW = [
  "10 × 64 × 64 B, binary",
  "50 × 1 × 64 B",
  "4 × 4 × 1 MiB",
  "client against one fixed server, 10 × 64 × 64 B",
  "TLS, 10 × 64 × 64 B",
  "broadcast, 256 B to 1,000 clients, 16 a tick",
  "handshakes, 16 at a time, with a clean close",
  "15,000 idle connections",
];
/** The peers that users compare with; the bare sockets are for developers. */
const OTHERS = ["Deno native", "ws on Node", "Bun"];

/** A ratio in the direction in which it is above 1. */
function inWords({ isCost, unit }: Line, ratio: number | undefined): string {
  if (ratio === undefined) return "";
  const isBetter = isCost ? ratio < 1 : ratio > 1;
  const times = ratio < 1 ? 1 / ratio : ratio;
  if (times < 1.05) return "equal";
  const isAmount = unit.startsWith("bytes") || unit.startsWith("%");
  const [better, worse] = isAmount ? ["less", "more"] : ["faster", "slower"];
  const text = times < 9.95 ? times.toFixed(1) : times.toFixed(0);
  return isBetter ? `**${text} × ${better}**` : `${text} × ${worse}`;
}

function table(lines: Line[]): string {
  const head = [
    "",
    "this library",
    ...OTHERS.map((label) => `than ${label}`),
    "with system sockets",
    "than Bun",
  ];
  const rows = lines.map((line) => [
    WORDS[line.load] ?? line.load,
    `${line.cells.get("Sluice")!.text} ${UNITS[line.unit] ?? line.unit}`,
    ...OTHERS.map((label) => inWords(line, line.ratios.get(label))),
    line.cells.get("Sluice, system sockets")?.text ?? "",
    inWords(line, line.systemRatios.get("Bun")),
  ]);
  const align = head.map((_, i) => i === 0 ? "---" : "---:");
  return [head, align, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Replaces the text between a table's marks. */
function replaced(page: string, table: string): string {
  const [start, end] = ["<!-- figures -->", "<!-- end of figures -->"];
  const from = page.indexOf(start), to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`No place for a table: ${start} … ${end}`);
  return `${page.slice(0, from + start.length)}\n\n${table}\n\n${page.slice(to)}`;
}

async function formatted(page: string): Promise<string> {
  const child = new Deno.Command("deno", {
    args: ["fmt", "--ext=md", "--line-width=100", "-"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(page));
  await writer.close();
  return await child.stdout.text();
}

const root = new URL("../", import.meta.url);
const results = parsePage(await Deno.readTextFile(new URL("bench/results/compare.md", root)));
const { date, rounds, machine, versions, lines } = results;
const source =
  `\`deno task bench:compare\`, ${date}, medians of ${rounds} rounds: ${machine}; ${versions}. The ` +
  `server has one core. System sockets need \`--allow-ffi\`.`;
// A load with several figures is shown with the first of them.
const few = FEW.map((load) => lines.find((line) => line.load === load)!);

/** Returns what a file should be, given what it is. */
const FILES: Record<string, (before: string) => string | Promise<string>> = {
  "README.md": (page) => formatted(replaced(page, `${table(few)}\n\n${source}`)),
  "docs/performance.md": (page) => formatted(replaced(page, `${table(lines)}\n\n${source}`)),
  "bench/results/compare.svg": () => chart(results),
};
for (const [path, write] of Object.entries(FILES)) {
  const url = new URL(path, root);
  const before = await Deno.readTextFile(url);
  const after = await write(before);
  if (after === before) continue;
  if (values.check) {
    console.error(`${path} has other figures than bench/results/compare.md: run deno task figures`);
    Deno.exit(1);
  }
  await Deno.writeTextFile(url, after);
}
