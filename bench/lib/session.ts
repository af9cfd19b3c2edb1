import { type Figure, summarise, type Summary } from "./figures.ts";
import type { Sample, Times } from "./measure.ts";
import type { Peer, PeerName } from "./peers.ts";
import { type Stretch, stretch } from "./proc.ts";
import type { Row } from "./rows.ts";

// Above this share of the machine in other hands, a figure says little.
const MUCH = 0.05;

/** The samples of one peer in one row, and why there are no more of them. */
interface Cell {
  samples: Sample[];
  stretches: Stretch[];
  error?: string;
}

/** What a run measured. */
export class Results {
  readonly #cells = new Map<string, Cell>();

  /** @param rows the rows measured. @param peers the peers that took part. */
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

  /** Ours to the peer's, of the medians. */
  ratio(row: Row, figure: Figure, peer: PeerName): number | undefined {
    const ours = this.summary(row, figure, "sluice");
    const theirs = this.summary(row, figure, peer);
    return ours && theirs && ours.median / theirs.median;
  }

  /** Share of the machine's CPU time that other processes took, and the cells where it was much. */
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

  /** Where the load client had no time left but the server had: the figure is a lower bound. */
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

/** How a run goes. */
export interface SessionOptions {
  rounds: number;
  times: Times;
  /** Called after every measurement. */
  progress(text: string): void;
}

/**
 * Measures every row with every peer, `rounds` times. Peers take turns within a row, and who begins
 * changes from round to round, so that what else the machine does meets all of them alike.
 */
export async function measureAll(
  rows: Row[],
  peers: Peer[],
  { rounds, times, progress }: SessionOptions,
): Promise<Results> {
  const results = new Results(rows, peers);
  for (let round = 0; round < rounds; round++) {
    for (const row of rows) {
      const taking = peers.filter(({ name }) => row.peers.includes(name));
      for (let i = 0; i < taking.length; i++) {
        const peer = taking[(i + round) % taking.length];
        const cell = results.cell(row, peer.name);
        // What never worked isn't tried again; a single failed round is.
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
