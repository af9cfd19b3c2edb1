// Reads bench/results/compare.md, for the tools that show some of it elsewhere.

/** A figure of one peer. */
export interface Cell {
  median: number;
  min: number;
  max: number;
  /** The median as the page writes it. */
  text: string;
}

/** A row of the table. */
export interface Line {
  load: string;
  unit: string;
  /** Whether less is better. */
  isCost: boolean;
  /** By the peers' labels; peers that were not measured are missing. */
  cells: Map<string, Cell>;
  /** The ratio of ours to a peer's, by its label. */
  ratios: Map<string, number>;
  /** The same for ours with system sockets. */
  systemRatios: Map<string, number>;
}

/** The page. */
export interface ResultPage {
  date: string;
  /** How often each peer was measured. */
  rounds: number;
  machine: string;
  versions: string;
  lines: Line[];
}

/** Reads the page. */
export function parsePage(page: string): ResultPage {
  const rows = [...page.matchAll(/^\| (.*) \|$/gm)].map(([, row]) => row.split(" | "));
  const [head, , ...lines] = rows;
  const one = (pattern: RegExp) => pattern.exec(page)![1];
  return {
    rounds: Number(one(/: (\d+) interleaved rounds/)),
    date: one(/ on (\d{4}-\d\d-\d\d)/),
    machine: one(/^Machine: (.*?);/m).replace(/, Linux.*/, ""),
    versions: one(/^Versions: (.*?)\. Load/m).replace(/ \(V8[^)]*\)/, ""),
    lines: lines.map((values) => {
      const cells = new Map<string, Cell>();
      const ratios = new Map<string, number>(), systemRatios = new Map<string, number>();
      for (const [column, label] of head.entries()) {
        const value = values[column].trim();
        if (column < 2 || !/^\d/.test(value)) continue;
        const [, system, peer] = /^(system )?to (.*)$/.exec(label) ?? [];
        if (peer === undefined) cells.set(label, parseCell(value));
        else (system ? systemRatios : ratios).set(peer, parseFloat(value));
      }
      const unit = values[1].replace(" ↓", "");
      return {
        load: values[0],
        unit,
        isCost: values[1].endsWith("↓"),
        cells,
        ratios,
        systemRatios,
      };
    }),
  };
}

/** Reads `median (least–greatest)`. */
function parseCell(value: string): Cell {
  const [text, range] = value.split(" ");
  const number = (digits: string) => Number(digits.replaceAll(",", ""));
  const median = number(text);
  const [min, max] = range?.slice(1, -1).split("–").map(number) ?? [median, median];
  return { median, min, max, text };
}
