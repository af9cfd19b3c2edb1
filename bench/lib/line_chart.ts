// Draws how figures grow, as an SVG of small panels with logarithmic axes: a straight line at 45° is linear growth, a
// level one is no growth.

import { formatNumber } from "./report.ts";

/** One panel. */
export interface Curve {
  title: string;
  unit: string;
  points: { x: number; y: number }[];
}

const COLUMNS = 3;
const WIDTH = 300;
const HEIGHT = 130;
const HEAD = 40;
const GAP = 40;

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #57606a; }
  .title { font-weight: 600; fill: #24292f; }
  polyline { fill: none; stroke: #1f8a70; stroke-width: 2; }
  circle { fill: #1f8a70; }
  .axis { stroke: #8c959f; stroke-width: 1; }
  @media (prefers-color-scheme: dark) {
    text { fill: #9da7b3; }
    .title { fill: #e6edf3; }
    polyline { stroke: #2fbf9b; }
    circle { fill: #2fbf9b; }
    .axis { stroke: #6e7681; }
  }`;

function panel({ title, unit, points }: Curve): string {
  const logs = points.map(({ x, y }) => ({ x: Math.log10(x), y: Math.log10(Math.max(y, 1e-9)) }));
  const left = Math.min(...logs.map(({ x }) => x)), right = Math.max(...logs.map(({ x }) => x));
  // At least a decade, so that noise in a level line doesn't look like growth.
  const bottom = Math.floor(Math.min(...logs.map(({ y }) => y)));
  const top = Math.max(bottom + 1, Math.ceil(Math.max(...logs.map(({ y }) => y))));
  const at = logs.map(({ x, y }) => [
    ((x - left) / (right - left || 1) * WIDTH).toFixed(1),
    (HEAD + HEIGHT - (y - bottom) / (top - bottom) * HEIGHT).toFixed(1),
  ]);
  const [first, last] = [points[0], points[points.length - 1]];
  const base = HEAD + HEIGHT;
  return [
    `<text class="title" x="0" y="12">${title}</text>`,
    `<text x="0" y="28">${unit}, ${formatNumber(first.y)} to ${formatNumber(last.y)}</text>`,
    `<line class="axis" x1="0" x2="${WIDTH}" y1="${base}" y2="${base}"/>`,
    `<polyline points="${at.map((point) => point.join(",")).join(" ")}"/>`,
    ...at.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="3"/>`),
    `<text x="0" y="${base + 16}">${formatNumber(first.x)}</text>`,
    `<text x="${WIDTH}" y="${base + 16}" text-anchor="end">${formatNumber(last.x)}</text>`,
  ].join("\n");
}

/** The chart of all curves, three in a line. */
export function lineChart(curves: Curve[], title: string): string {
  const width = GAP + COLUMNS * (WIDTH + GAP);
  const step = HEAD + HEIGHT + GAP + 16;
  const height = 50 + Math.ceil(curves.length / COLUMNS) * step;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" ` +
    `height="${height}" role="img" aria-label="${title}">`,
    `<style>${STYLE}\n</style>`,
    `<text class="title" x="${GAP}" y="26">${title}</text>`,
    ...curves.map((curve, i) => {
      const x = GAP + i % COLUMNS * (WIDTH + GAP), y = 50 + Math.floor(i / COLUMNS) * step;
      return `<g transform="translate(${x} ${y})">\n${panel(curve)}\n</g>`;
    }),
    "</svg>",
    "",
  ].join("\n");
}
