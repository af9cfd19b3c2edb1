import { seeded } from "../tests/support/random.ts";

/** Seeded choices, the same for the same seed. */
export class Random {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = seeded(seed);
  }

  /** A whole number below `bound`. */
  below(bound: number): number {
    return Math.floor(this.#next() * bound);
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }

  /** A length, mostly small, sometimes at a limit of the frame format. */
  length(): number {
    return this.pick([
      () => 0,
      () => this.below(10),
      () => this.below(130),
      () => this.pick([125, 126, 127, 65535, 65536]),
      () => this.below(3000),
    ])();
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  /** Changes, drops, repeats or inserts a few bytes. */
  mutate(bytes: Uint8Array): Uint8Array {
    let changed = [...bytes.subarray(0, 4096)];
    for (let times = 1 + this.below(3); times > 0; times--) {
      const at = this.below(changed.length + 1);
      switch (this.below(5)) {
        case 0:
          if (at < changed.length) changed[at] ^= 1 << this.below(8);
          break;
        case 1:
          changed.splice(at, 1 + this.below(4));
          break;
        case 2:
          changed.splice(at, 0, ...changed.slice(at, at + 1 + this.below(8)));
          break;
        case 3:
          changed.splice(at, 0, this.below(256));
          break;
        default:
          changed = changed.slice(0, at);
      }
    }
    return Uint8Array.from(changed);
  }

  /** Cuts bytes into pieces. */
  split(bytes: Uint8Array): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    const most = this.pick([1, 2, 7, 100, bytes.length + 1]);
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + 1 + this.below(most));
      pieces.push(bytes.slice(at, end));
      at = end;
    }
    return pieces;
  }
}
