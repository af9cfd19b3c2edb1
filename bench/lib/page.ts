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
}

/** The page. */
export interface ResultPage {
  date: string;
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
    date: one(/ on (\d{4}-\d\d-\d\d)/),
    machine: one(/^Machine: (.*?);/m).replace(/, Linux.*/, ""),
    versions: one(/^Versions: (.*?)\. Load/m).replace(/ \(V8[^)]*\)/, ""),
    lines: lines.map((values) => {
      const cells = new Map<string, Cell>(), ratios = new Map<string, number>();
      for (const [column, label] of head.entries()) {
        const value = values[column].trim();
        if (column < 2 || !/^\d/.test(value)) continue;
        if (label.startsWith("to ")) ratios.set(label.slice(3), parseFloat(value));
        else cells.set(label, parseCell(value));
      }
      const unit = values[1].replace(" ↓", "");
      return { load: values[0], unit, isCost: values[1].endsWith("↓"), cells, ratios };
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
