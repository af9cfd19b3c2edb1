// Writes the results as text: a Markdown table, and which targets were missed.

import { type Figure, OURS } from "./figures.ts";
import type { Peer } from "./peers.ts";
import type { Row } from "./rows.ts";
import type { Results } from "./session.ts";

/** A figure with three significant digits, or with all of its integer digits, in groups. */
export function formatNumber(value: number): string {
  const maximumFractionDigits = value < 10 ? 2 : value < 100 ? 1 : 0;
  return value.toLocaleString("en", { maximumFractionDigits });
}

function cellText(results: Results, row: Row, figure: Figure, { name }: Peer): string {
  if (!row.peers.includes(name)) return "";
  const summary = results.summary(row, figure, name);
  if (summary === undefined) return "—";
  const { median, min, max } = summary;
  if (min === max) return formatNumber(median);
  return `${formatNumber(median)} (${formatNumber(min)}–${formatNumber(max)})`;
}

/** A pair to compare: one of ours and one of the others. */
interface Pair {
  one: typeof OURS[number];
  other: Peer;
}

/** All pairs to compare; ours with the kernel's own sockets are compared with ours over Deno's as well. */
function pairs({ peers }: Results): Pair[] {
  return OURS.filter((one) => peers.some(({ name }) => name === one)).flatMap((one) =>
    peers.filter(({ name }) => name !== one && name !== "system")
      .map((other) => ({ one, other }))
  );
}

function ratioText(results: Results, row: Row, figure: Figure, { one, other }: Pair): string {
  const takePart = row.peers.includes(one) && row.peers.includes(other.name);
  const ratio = takePart ? results.ratio(row, figure, other.name, one) : undefined;
  return ratio === undefined ? "" : `${ratio.toFixed(2)} ×`;
}

/** One line per figure: medians with least and greatest, then the ratios of ours to the others. */
export function table(results: Results): string {
  const { rows, peers } = results;
  const compared = pairs(results);
  const head = ["load", "figure", ...peers.map(({ label }) => label)];
  head.push(
    ...compared.map(({ one, other }) => `${one === "system" ? "system " : ""}to ${other.label}`),
  );
  const lines = rows.flatMap((row) =>
    row.figures.map((figure) => [
      row.title,
      figure.better === "lower" ? `${figure.unit} ↓` : figure.unit,
      ...peers.map((peer) => cellText(results, row, figure, peer)),
      ...compared.map((pair) => ratioText(results, row, figure, pair)),
    ])
  );
  const align = head.map((_, i) => i < 2 ? "---" : "---:");
  return [head, align, ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** The ratios that missed their targets, as sentences. */
export function missedTargets(results: Results): string[] {
  return results.rows.flatMap((row) =>
    row.figures.flatMap((figure) =>
      pairs(results).flatMap(({ one, other: { name, label } }) => {
        const target = figure.targets[one][name];
        const ratio = results.ratio(row, figure, name, one);
        if (target === undefined || ratio === undefined) return [];
        const [met, sign] = figure.better === "higher"
          ? [ratio >= target, "≥"]
          : [ratio <= target, "≤"];
        return met ? [] : [
          `${row.title}, ${figure.unit}${one === "system" ? ", system sockets" : ""}: ${
            ratio.toFixed(2)
          } × ${label}, aimed at ${sign} ${target}`,
        ];
      })
    )
  );
}

/** What a reader must know to trust the figures: disturbance, missing peers, lower bounds. */
export function notes(results: Results): string[] {
  const { share, cells } = results.disturbance();
  const which = cells.length > 8 ? `${cells.length} cells of the table` : cells.join(", ");
  return [
    `Other processes took ${(share * 100).toFixed(1)} % of the machine's CPU time during the run.`,
    ...(cells.length ? [`They disturbed ${which}.`] : []),
    ...results.loadBound().map((what) => `Bound by the load client, so a lower bound: ${what}.`),
    ...results.failures().map((what) => `Not measured: ${what}.`),
  ];
}

/** The text of the page around the table. */
export interface PageOptions {
  rounds: number;
  quick: boolean;
  machine: string;
  versions: string;
  load: string;
  date: string;
  /** Peers that could not be installed, as sentences. */
  missing: string[];
}

/** The page bench/results/compare.md. */
export function page(results: Results, options: PageOptions): string {
  const { rounds, quick, machine, versions, load, date, missing } = options;
  return [
    "# Comparison",
    "",
    `Made by \`deno task bench:compare${quick ? " --quick" : ""}\` on ${date}: ` +
    `${rounds} interleaved round${rounds === 1 ? "" : "s"}, median (least–greatest). ` +
    "Loads are connections × messages in flight × bytes; ↓ marks figures of which less is better. " +
    "Ratios are Sluice's median to the other's, with Deno's sockets and with the kernel's own (system).",
    "",
    `Machine: ${machine}.  `,
    `Versions: ${versions}. Load client: ${load}.`,
    "",
    "![Chart](compare.svg)",
    "",
    table(results),
    "",
    ...[...missing, ...notes(results)].map((note) => `- ${note}`),
    "",
  ].join("\n");
}
