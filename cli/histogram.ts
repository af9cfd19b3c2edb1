/** The number of buckets per power of two: values are accurate to 3 %. */
const STEPS = 32;

/** Counts durations in buckets whose width grows with the value, in a fixed amount of memory. */
export class Histogram {
  readonly #counts = new Float64Array(STEPS * 48);
  #count = 0;
  #max = 0;

  /** The number of durations. */
  get count(): number {
    return this.#count;
  }

  /** The longest, in ms. */
  get max(): number {
    return this.#max;
  }

  /** Counts a duration in ms. */
  add(ms: number): void {
    this.#count++;
    if (ms > this.#max) this.#max = ms;
    this.#counts[indexOf(ms * 1000)]++;
  }

  /** The duration in ms that this share of all durations doesn't exceed. */
  percentile(share: number): number {
    let left = Math.ceil(this.#count * share);
    if (left === 0) return 0;
    for (let i = 0; i < this.#counts.length; i++) {
      left -= this.#counts[i];
      if (left <= 0) return Math.min(valueOf(i + 1) / 1000, this.#max);
    }
    return this.#max;
  }

  /** The share of each power of two, without empty ones at both ends; `upTo` is the upper limit in ms. */
  octaves(): { upTo: number; share: number }[] {
    const rows: { upTo: number; share: number }[] = [];
    for (let i = 0; i < this.#counts.length; i += STEPS) {
      let sum = 0;
      for (let k = 0; k < STEPS; k++) sum += this.#counts[i + k];
      rows.push({ upTo: valueOf(i + STEPS) / 1000, share: sum / Math.max(1, this.#count) });
    }
    const filled = rows.map(({ share }) => share > 0);
    return rows.slice(Math.max(0, filled.indexOf(true)), filled.lastIndexOf(true) + 1);
  }
}

/** The bucket of a duration in µs. Durations below 1 µs share the first power of two. */
function indexOf(us: number): number {
  if (us < 1) return Math.max(0, Math.floor(us * STEPS));
  const octave = Math.min(46, Math.floor(Math.log2(us)));
  return (octave + 1) * STEPS + Math.min(STEPS - 1, Math.floor((us / 2 ** octave - 1) * STEPS));
}

/** The lower end of a bucket, in µs. */
function valueOf(index: number): number {
  const octave = Math.floor(index / STEPS) - 1, step = index % STEPS;
  return octave < 0 ? step / STEPS : 2 ** octave * (1 + step / STEPS);
}
