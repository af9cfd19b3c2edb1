// The results as an SVG bar chart: one panel per row, its first figure, a bar per peer.

import type { PeerName } from "./peers.ts";
import { formatNumber } from "./report.ts";
import type { Row } from "./rows.ts";
import type { Results } from "./session.ts";

const COLUMNS = 2;
const PANEL_WIDTH = 470;
const LABEL_WIDTH = 96;
const VALUE_WIDTH = 100;
const BAR_HEIGHT = 16;
const BAR_GAP = 5;
const HEAD = 34;
const PADDING = 22;
const BAR_WIDTH = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH;

// Readable on white as on black; the text colour follows the reader's theme.
const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .title { font-weight: 600; }
  .unit, .value { fill: #57606a; font-size: 12px; }
  .bar { fill: #8c959f; }
  .sluice, .system { fill: #1f8a70; }
  .axis { stroke: #8c959f; stroke-width: 1; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .unit, .value { fill: #9da7b3; }
    .bar { fill: #6e7681; }
    .sluice, .system { fill: #2fbf9b; }
    .axis { stroke: #6e7681; }
  }`;

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function bar(y: number, name: PeerName, label: string, median: number, most: number): string {
  const width = Math.max(1, median / most * BAR_WIDTH).toFixed(1);
  const baseline = y + BAR_HEIGHT - 4;
  const value = LABEL_WIDTH + Number(width) + 6;
  return [
    `<text x="${LABEL_WIDTH - 8}" y="${baseline}" text-anchor="end">${escape(label)}</text>`,
    `<rect class="bar ${name}" x="${LABEL_WIDTH}" y="${y}" width="${width}" ` +
    `height="${BAR_HEIGHT}" rx="2"/>`,
    `<text class="value" x="${value}" y="${baseline}">${formatNumber(median)}</text>`,
  ].join("\n");
}

function panel(results: Results, row: Row): { svg: string; height: number } | undefined {
  const [figure] = row.figures;
  const bars = results.peers.flatMap(({ name, label }) => {
    const summary = results.summary(row, figure, name);
    return summary ? [{ name, label, median: summary.median }] : [];
  });
  if (bars.length === 0) return undefined;
  const most = Math.max(...bars.map(({ median }) => median));
  const unit = `${figure.unit}${figure.better === "lower" ? ", less is better" : ""}`;
  const bottom = HEAD + bars.length * (BAR_HEIGHT + BAR_GAP);
  const svg = [
    `<text class="title" x="0" y="12">${escape(row.title)}</text>`,
    `<text class="unit" x="0" y="27">${escape(unit)}</text>`,
    ...bars.map(({ name, label, median }, i) =>
      bar(HEAD + i * (BAR_HEIGHT + BAR_GAP), name, label, median, most)
    ),
    `<line class="axis" x1="${LABEL_WIDTH}" x2="${LABEL_WIDTH}" y1="${HEAD - 3}" y2="${bottom}"/>`,
  ].join("\n");
  return { svg, height: bottom };
}

/** The chart bench/results/compare.svg. */
export function chart(results: Results, title: string): string {
  const panels = results.rows.map((row) => panel(results, row)).filter((each) =>
    each !== undefined
  );
  const parts: string[] = [];
  let y = 52;
  for (let i = 0; i < panels.length; i += COLUMNS) {
    const line = panels.slice(i, i + COLUMNS);
    line.forEach(({ svg }, column) => {
      const x = PADDING + column * (PANEL_WIDTH + PADDING);
      parts.push(`<g transform="translate(${x} ${y})">\n${svg}\n</g>`);
    });
    y += Math.max(...line.map(({ height }) => height)) + PADDING;
  }
  const width = PADDING + COLUMNS * (PANEL_WIDTH + PADDING);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" width="${width}" ` +
    `height="${y}" role="img" aria-label="${escape(title)}">`,
    `<style>${STYLE}\n</style>`,
    `<text class="title" x="${PADDING}" y="28">${escape(title)}</text>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}
