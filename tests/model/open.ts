/** Something that the model has found and that isn't mended yet. */
export interface Open {
  readonly note: string;
  /** What its findings look like. */
  readonly finding: RegExp;
  /** The smallest plan that shows it, for the corpus when it is mended. */
  readonly plan: string;
}

/** Findings of these kinds are told and pass: a plan that shows nothing else is as good as can be today. */
export const OPEN: readonly Open[] = [
  {
    note: "an opening handshake that is cancelled goes on reading or writing after close()",
    finding: /^the stream: (read|write|closeWrite) after close$/,
    plan: "610000000000000000000000c800000054000000",
  },
  {
    note: "a write that fails beside shutdownRead() is a cause that onError isn't told",
    finding: /^an error that nobody was told: (BrokenPipe|ConnectionReset): /,
    plan: "0000000000000000000000000600000051000000b80000001c000000",
  },
];

/** The open one that a finding belongs to, if any. */
export function openOne(finding: string): Open | undefined {
  return OPEN.find((open) => open.finding.test(finding));
}
