import type { Sample } from "./measure.ts";
import type { PeerName } from "./peers.ts";

/** The target of ours, as its ratio to a peer's figure. */
export type Targets = Partial<Record<PeerName, number>>;

/** Which of the peers are ours. */
export const OURS = ["sluice", "system"] as const satisfies PeerName[];

/** A number taken from each sample. */
export interface Figure {
  /** What it is, in a table: "msg/s". */
  unit: string;
  /** Which way is good. */
  better: "higher" | "lower";
  /** Takes the number from a sample. */
  value(sample: Sample): number;
  /** The ratios to reach, for each of ours. */
  targets: Record<typeof OURS[number], Targets>;
}

const perSecond = ({ messages, seconds }: Sample) => messages / seconds;

/** Messages, or other events, per second. */
export function rate(unit: string, sluice: Targets = {}, system: Targets = {}): Figure {
  return { unit, better: "higher", value: perSecond, targets: { sluice, system } };
}

/** Payload throughput. */
export function megabytes(size: number, sluice: Targets = {}, system: Targets = {}): Figure {
  const value = (sample: Sample) => perSecond(sample) * size / 1e6;
  return { unit: "MB/s", better: "higher", value, targets: { sluice, system } };
}

/** A percentile of the latency. */
export function latency(
  percentile: "p50" | "p99",
  sluice: Targets = {},
  system: Targets = {},
): Figure {
  const value = (sample: Sample) => sample[percentile]!;
  return { unit: `${percentile}, µs`, better: "lower", value, targets: { sluice, system } };
}

/** Resident bytes that one connection adds. */
export function rssPerConnection(
  connections: number,
  sluice: Targets = {},
  system: Targets = {},
): Figure {
  const value = ({ rssAfter, rssBefore }: Sample) => (rssAfter! - rssBefore!) / connections;
  return {
    unit: "bytes of RSS per connection",
    better: "lower",
    value,
    targets: { sluice, system },
  };
}

/** The server's share of a core. */
export function cpuShare(sluice: Targets = {}, system: Targets = {}): Figure {
  const value = ({ cpu, seconds }: Sample) => cpu! / seconds * 100;
  return { unit: "% of a core", better: "lower", value, targets: { sluice, system } };
}

/** Median, least and greatest of the rounds. */
export interface Summary {
  median: number;
  min: number;
  max: number;
}

/** Summarises one figure over the rounds; `undefined` without any. */
export function summarise(values: number[]): Summary | undefined {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1] };
}
