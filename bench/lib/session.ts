import { type Figure, type OURS, summarise, type Summary } from "./figures.ts";
import type { Sample, Times } from "./measure.ts";
import type { Peer, PeerName } from "./peers.ts";
import { type Stretch, stretch } from "./proc.ts";
import type { Row } from "./rows.ts";

// A figure says little where other processes took more than this share of the machine.
const MUCH = 0.05;

/** The samples of one peer in one row, and why some are missing. */
interface Cell {
  samples: Sample[];
  stretches: Stretch[];
  error?: string;
}

/** What a run measured. */
export class Results {
  readonly #cells = new Map<string, Cell>();

  /** @param rows the rows measured. @param peers the peers measured. */
  constructor(readonly rows: Row[], readonly peers: Peer[]) {}

  /** The samples of `peer` in `row`. */
  cell(row: Row, peer: PeerName): Cell {
    const key = `${row.id} ${peer}`;
    const cell = this.#cells.get(key) ?? { samples: [], stretches: [] };
    this.#cells.set(key, cell);
    return cell;
  }

  /** One figure over the rounds; `undefined` where nothing was measured. */
  summary(row: Row, figure: Figure, peer: PeerName): Summary | undefined {
    return summarise(this.cell(row, peer).samples.map(figure.value));
  }

  /** The ratio of one of ours to a peer, of the medians. */
  ratio(
    row: Row,
    figure: Figure,
    peer: PeerName,
    one: typeof OURS[number] = "sluice",
  ): number | undefined {
    const ours = this.summary(row, figure, one);
    const theirs = this.summary(row, figure, peer);
    return ours && theirs && ours.median / theirs.median;
  }

  /** The share of the machine's CPU time that other processes took, and the cells where the share was large. */
  disturbance(): { share: number; cells: string[] } {
    const shareOf = (stretches: Stretch[]) =>
      stretches.reduce((sum, { others }) => sum + others, 0) /
      (stretches.reduce((sum, { available }) => sum + available, 0) || 1);
    const cells = [...this.#cells].filter(([, { stretches }]) => shareOf(stretches) > MUCH);
    return {
      share: shareOf([...this.#cells.values()].flatMap(({ stretches }) => stretches)),
      cells: cells.map(([key]) => key),
    };
  }

  /** The cells where the load client used its whole core and the server did not: their figures are lower bounds. */
  loadBound(): string[] {
    const busy = ({ cpu = 0, loadCpu = 0, seconds }: Sample) =>
      loadCpu > 0.95 * seconds && cpu < 0.9 * seconds;
    return this.rows.flatMap((row) =>
      this.peers.filter(({ name }) => this.cell(row, name).samples.some(busy))
        .map(({ label }) => `${row.title}, ${label}`)
    );
  }

  /** What could not be measured, a sentence for each reason. */
  failures(): string[] {
    const rowsOf = new Map<string, string[]>();
    for (const { name, label } of this.peers) {
      for (const row of this.rows) {
        const { error } = this.cell(row, name);
        if (error === undefined) continue;
        const reason = `${label}: ${error}`;
        rowsOf.set(reason, [...rowsOf.get(reason) ?? [], row.id]);
      }
    }
    return [...rowsOf].map(([reason, ids]) => `${reason} (${ids.join(", ")})`);
  }
}

/** The options of a run. */
export interface SessionOptions {
  rounds: number;
  times: Times;
  /** Called after every measurement. */
  progress(text: string): void;
}

/**
 * Measures every row with every peer, `rounds` times. Peers take turns within a row, and each round begins with
 * another peer, so that other work of the machine affects all of them alike.
 */
export async function measureAll(
  rows: Row[],
  peers: Peer[],
  { rounds, times, progress }: SessionOptions,
): Promise<Results> {
  const shown = peers.filter(({ name }) => rows.some((row) => row.peers.includes(name)));
  const results = new Results(rows, shown);
  for (let round = 0; round < rounds; round++) {
    for (const row of rows) {
      const taking = peers.filter(({ name }) => row.peers.includes(name));
      for (let i = 0; i < taking.length; i++) {
        const peer = taking[(i + round) % taking.length];
        const cell = results.cell(row, peer.name);
        // A peer that has never worked isn't tried again; one that failed in a single round is.
        if (cell.error !== undefined && cell.samples.length === 0) continue;
        const where = `${round + 1}/${rounds}  ${row.title}  ${peer.label}`;
        try {
          const end = stretch();
          const sample = await row.measure(peer, row.times ?? times, peers);
          cell.samples.push(sample);
          cell.stretches.push(end());
          const [figure] = row.figures;
          progress(
            `${where}: ${Math.round(figure.value(sample)).toLocaleString("en")} ${figure.unit}`,
          );
        } catch (error) {
          cell.error = (error as Error).message;
          progress(`${where}: ${cell.error}`);
        }
      }
    }
  }
  return results;
}
