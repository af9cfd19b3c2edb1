import { concat } from "../src/util/bytes.ts";

/** Where a writer is told to wait. */
const ENOUGH = 64 * 1024;

const encoder = new TextEncoder();

/**
 * Standard output in order, many lines per write. Whoever awaits what `write` returns keeps the pace of the reader at
 * the other end.
 */
export class Output {
  /** Resolves when the reader at the other end has gone. */
  readonly gone: Promise<void>;
  readonly #stream: { write(bytes: Uint8Array): Promise<number> };
  readonly #leave: () => void;
  #waiting: Uint8Array[] = [];
  #bytes = 0;
  #writing: Promise<void> | null = null;
  #broken = false;

  /**
   * Makes an output.
   *
   * @param stream Where to.
   */
  constructor(stream: { write(bytes: Uint8Array): Promise<number> } = Deno.stdout) {
    this.#stream = stream;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.gone = promise;
    this.#leave = resolve;
  }

  /** Whether the reader at the other end has gone. */
  get isGone(): boolean {
    return this.#broken;
  }

  /** Writes a line. */
  line(text: string): Promise<void> | undefined {
    return this.write(encoder.encode(text + "\n"));
  }

  /** Writes bytes; returns a promise where the writer should wait. */
  write(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#broken) return undefined;
    this.#waiting.push(bytes);
    this.#bytes += bytes.length;
    this.#writing ??= this.#run();
    return this.#bytes > ENOUGH ? this.#writing : undefined;
  }

  /** Resolves when all of it is written, or can't be. */
  async flush(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
  }

  async #run(): Promise<void> {
    // The lines of one turn go out together.
    await Promise.resolve();
    try {
      while (this.#waiting.length > 0) {
        const [first] = this.#waiting;
        const bytes = this.#waiting.length === 1 ? first : concat(this.#waiting, this.#bytes);
        this.#waiting = [];
        this.#bytes = 0;
        for (let at = 0; at < bytes.length;) at += await this.#stream.write(bytes.subarray(at));
      }
    } catch {
      // A closed pipe, which is how `head` says that it has enough.
      this.#broken = true;
      this.#leave();
    } finally {
      this.#writing = null;
    }
  }
}
