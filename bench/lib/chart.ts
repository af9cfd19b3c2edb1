// Four of the results as an SVG, a panel each: medians as bars, least and greatest as a line over them.

import type { Cell, Line, ResultPage } from "./page.ts";

/** The loads that are shown, with their titles. */
const PANELS: [load: string, title: string, unit: string][] = [
  [
    "10 × 64 × 64 B, binary",
    "Many small messages",
    "messages a second: echo of 64 bytes, 10 connections, 64 in flight on each",
  ],
  [
    "50 × 1 × 64 B",
    "One message at a time",
    "messages a second: echo of 64 bytes, 50 connections, 1 in flight on each",
  ],
  [
    "4 × 4 × 1 MiB",
    "Large messages",
    "MB a second: echo of 1 MiB, 4 connections, 4 in flight on each",
  ],
  [
    "15,000 idle connections",
    "Idle connections",
    "bytes of memory for each of 15,000; less is better",
  ],
];
/** The peers, and how they are called where there is little room. */
const PEERS: Record<string, string> = {
  "Sluice": "Sluice",
  "Sluice, system sockets": "system sockets",
  "Deno native": "Deno native",
  "ws on Node": "ws on Node",
  "Bun": "Bun",
};

const COLUMNS = 2;
const PANEL_WIDTH = 470;
const LABEL_WIDTH = 96;
const VALUE_WIDTH = 84;
const BAR_HEIGHT = 16;
const BAR_GAP = 5;
const HEAD = 38;
const PADDING = 22;
const BAR_WIDTH = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH;

// Readable on white and on black; the text colour follows the reader's theme.
const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .title { font-weight: 600; }
  .unit, .value { fill: #57606a; font-size: 12px; }
  .bar { fill: #8c959f; }
  .ours { fill: #1f8a70; }
  .axis { stroke: #8c959f; stroke-width: 1; }
  .range { stroke: #24292f; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .unit, .value { fill: #9da7b3; }
    .bar { fill: #6e7681; }
    .ours { fill: #2fbf9b; }
    .axis { stroke: #6e7681; }
    .range { stroke: #e6edf3; }
  }`;

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

interface Bar {
  label: string;
  cell: Cell;
  isOurs: boolean;
}

function bar(y: number, { label, cell, isOurs }: Bar, most: number): string {
  const { median, min, max, text } = cell;
  const at = (value: number) => (LABEL_WIDTH + value / most * BAR_WIDTH).toFixed(1);
  const width = Math.max(1, median / most * BAR_WIDTH).toFixed(1);
  const middle = y + BAR_HEIGHT / 2, baseline = y + BAR_HEIGHT - 4;
  const end = (x: string) =>
    `<line class="range" x1="${x}" x2="${x}" y1="${middle - 3}" y2="${middle + 3}"/>`;
  return [
    `<text x="${LABEL_WIDTH - 8}" y="${baseline}" text-anchor="end">${escape(label)}</text>`,
    `<rect class="${isOurs ? "ours" : "bar"}" x="${LABEL_WIDTH}" y="${y}" ` +
    `width="${width}" height="${BAR_HEIGHT}" rx="2"/>`,
    `<line class="range" x1="${at(min)}" x2="${at(max)}" y1="${middle}" y2="${middle}"/>`,
    end(at(min)),
    end(at(max)),
    `<text class="value" x="${Number(at(max)) + 6}" y="${baseline}">${text}</text>`,
  ].join("\n");
}

function panel(line: Line, title: string, unit: string): { svg: string; height: number } {
  const bars = Object.entries(PEERS).flatMap(([peer, label]) => {
    const cell = line.cells.get(peer);
    return cell === undefined ? [] : [{ label, cell, isOurs: peer.startsWith("Sluice") }];
  });
  const most = Math.max(...bars.map(({ cell }) => cell.max));
  const bottom = HEAD + bars.length * (BAR_HEIGHT + BAR_GAP);
  const svg = [
    `<text class="title" x="0" y="12">${escape(title)}</text>`,
    `<text class="unit" x="0" y="28">${escape(unit)}</text>`,
    ...bars.map((one, i) => bar(HEAD + i * (BAR_HEIGHT + BAR_GAP), one, most)),
    `<line class="axis" x1="${LABEL_WIDTH}" x2="${LABEL_WIDTH}" y1="${HEAD - 3}" y2="${bottom}"/>`,
  ].join("\n");
  return { svg, height: bottom };
}

/** The chart bench/results/compare.svg, made from compare.md; loads that weren't measured are left out. */
export function chart({ lines, versions, machine }: ResultPage): string {
  const title = `${versions} · ${machine}`;
  const panels = PANELS.flatMap(([load, title, unit]) => {
    const line = lines.find((line) => line.load === load);
    return line === undefined ? [] : [panel(line, title, unit)];
  });
  const parts: string[] = [];
  let y = 52;
  for (let i = 0; i < panels.length; i += COLUMNS) {
    const row = panels.slice(i, i + COLUMNS);
    row.forEach(({ svg }, column) => {
      const x = PADDING + column * (PANEL_WIDTH + PADDING);
      parts.push(`<g transform="translate(${x} ${y})">\n${svg}\n</g>`);
    });
    y += Math.max(...row.map(({ height }) => height)) + PADDING;
  }
  const width = PADDING + COLUMNS * (PANEL_WIDTH + PADDING);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" width="${width}" ` +
    `height="${y}" role="img" aria-label="${escape(title)}">`,
    `<style>${STYLE}\n</style>`,
    `<text class="unit" x="${PADDING}" y="28">${escape(title)}</text>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}
