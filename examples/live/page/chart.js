// A chart of a few values over time, on a canvas.

const FONT = "12px system-ui, sans-serif";
const BOTTOM = 24, TOP = 8, RIGHT = 18;
// The least distance between two grid lines, in pixels.
const ROW = 36, COLUMN = 60;

/**
 * A line of a chart: its label, the name of its colour among the style sheet's, and its values, one for each sample;
 * `null` leaves a gap.
 *
 * @typedef {[string, string, () => (number | null)[], LineStyle?]} Line
 * @typedef {{ fill?: boolean, dash?: number[], width?: number }} LineStyle
 */

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);

/** The smallest step of 1, 2 or 5 times a power of ten that leaves room for a label at each. */
function stepFor(span, most) {
  const least = span / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least);
}

/** The multiples of a step within a range. */
function* multiples(step, from, to) {
  for (let n = Math.ceil(from / step); n * step <= to; n++) yield n * step;
}

export class Chart {
  #lines;
  #min;
  #canvas = document.createElement("canvas");
  #samples = [];

  /**
   * @param {HTMLElement} box Where it goes; its size is the chart's.
   * @param {{ lines: Line[], min: () => number }} options The lines, and the least value that the axis ends with.
   */
  constructor(box, { lines, min }) {
    this.#lines = lines;
    this.#min = min;
    const legend = document.createElement("ul");
    for (const [label, name, , { dash, width = 2 } = {}] of lines) {
      const item = document.createElement("li");
      item.className = name;
      item.textContent = label;
      item.style.setProperty("--line-style", dash === undefined ? "solid" : "dashed");
      item.style.setProperty("--line-width", `${width}px`);
      legend.append(item);
    }
    box.replaceChildren(this.#canvas, legend);
    new ResizeObserver(() => this.draw(this.#samples)).observe(this.#canvas);
  }

  /** Draws samples, oldest first; each has its `time` in seconds. */
  draw(samples) {
    this.#samples = samples;
    const canvas = this.#canvas, { clientWidth: width, clientHeight: height } = canvas;
    if (width === 0) return;
    const scale = devicePixelRatio;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const values = this.#lines.map(([, , valuesOf]) => valuesOf());
    const most = Math.max(this.#min(), 1.1 * values.flat().reduce((a, b) => Math.max(a, b), 0));
    const first = samples[0]?.time ?? 0, last = Math.max(samples.at(-1)?.time ?? 0, first + 1);
    pen.font = FONT;
    const plotHeight = height - TOP - BOTTOM;
    const rows = [...multiples(stepFor(most, plotHeight / ROW), 0, most)];
    const labels = rows.map((value) => value.toLocaleString());
    // As wide as its labels.
    const left = 12 + Math.ceil(Math.max(...labels.map((label) => pen.measureText(label).width)));
    const plotWidth = width - left - RIGHT;
    const place = {
      x: (time) => left + (time - first) / (last - first) * plotWidth,
      y: (value) => TOP + (1 - value / most) * plotHeight,
    };
    pen.lineWidth = 1;
    pen.strokeStyle = color("line");
    pen.fillStyle = color("faint");
    pen.beginPath();
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    rows.forEach((value, row) => {
      pen.moveTo(left, place.y(value));
      pen.lineTo(width - RIGHT, place.y(value));
      pen.fillText(labels[row], left - 6, place.y(value));
    });
    pen.textAlign = "center";
    pen.textBaseline = "top";
    const seconds = Math.max(1, stepFor(last - first, plotWidth / COLUMN));
    for (const time of multiples(seconds, first, last)) {
      pen.moveTo(place.x(time), TOP);
      pen.lineTo(place.x(time), height - BOTTOM);
      pen.fillText(`${time} s`, place.x(time), height - BOTTOM + 6);
    }
    pen.stroke();
    const drawn = this.#lines.map(([, name, , style = {}], index) => {
      const points = samples.map(({ time }, at) => [place.x(time), values[index][at]]);
      return { color: color(name), parts: unbroken(points), ...style };
    });
    // No area covers a line.
    for (const { color, parts, fill } of drawn) {
      pen.fillStyle = `${color}33`;
      if (fill) { for (const part of parts) area(pen, part, place.y); }
    }
    for (const { color, parts, dash = [], width = 2 } of drawn) {
      pen.strokeStyle = color;
      pen.lineWidth = width;
      pen.setLineDash(dash);
      for (const part of parts) line(pen, part, place.y);
    }
  }
}

/** The runs of points between gaps. */
function unbroken(points) {
  const parts = [[]];
  for (const point of points) {
    if (point[1] !== null) parts.at(-1).push(point);
    else if (parts.at(-1).length > 0) parts.push([]);
  }
  return parts.filter((part) => part.length > 0);
}

function line(pen, points, y) {
  pen.beginPath();
  for (const [x, value] of points) pen.lineTo(x, y(value));
  pen.stroke();
}

function area(pen, points, y) {
  pen.beginPath();
  pen.moveTo(points[0][0], y(0));
  for (const [x, value] of points) pen.lineTo(x, y(value));
  pen.lineTo(points.at(-1)[0], y(0));
  pen.fill();
}
