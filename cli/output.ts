import { concat } from "../src/util/bytes.ts";

/** The number of waiting bytes above which writers have to wait. */
const ENOUGH = 64 * 1024;

const encoder = new TextEncoder();

/**
 * Standard output in order, with many lines per write. A caller that awaits the promise of `write` writes no faster than the
 * reader reads.
 */
export class Output {
  /** Resolves when nothing more can be written. */
  readonly gone: Promise<void>;
  readonly #stream: { write(bytes: Uint8Array): Promise<number> };
  readonly #leave: () => void;
  #waiting: Uint8Array[] = [];
  #bytes = 0;
  #writing: Promise<void> | null = null;
  #broken = false;
  #failure: unknown = null;

  /**
   * Makes an output.
   *
   * @param stream The stream to write to.
   */
  constructor(stream: { write(bytes: Uint8Array): Promise<number> } = Deno.stdout) {
    this.#stream = stream;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.gone = promise;
    this.#leave = resolve;
  }

  /** Whether nothing more can be written. */
  get isGone(): boolean {
    return this.#broken;
  }

  /** The error that has broken the output; `null` if the reader has closed the pipe, which isn't an error. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Writes a line. */
  line(text: string): Promise<void> | undefined {
    return this.write(encoder.encode(text + "\n"));
  }

  /** Writes bytes; returns a promise if the writer should wait. */
  write(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#broken) return undefined;
    this.#waiting.push(bytes);
    this.#bytes += bytes.length;
    this.#writing ??= this.#run();
    return this.#bytes > ENOUGH ? this.#writing : undefined;
  }

  /** Resolves when everything is written, or can't be. */
  async flush(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
  }

  async #run(): Promise<void> {
    // The lines of one turn are written together.
    await Promise.resolve();
    try {
      while (this.#waiting.length > 0) {
        const parts = this.#waiting;
        const bytes = parts.length === 1 ? parts[0] : concat(parts, this.#bytes);
        this.#waiting = [];
        this.#bytes = 0;
        for (let at = 0; at < bytes.length;) at += await this.#stream.write(bytes.subarray(at));
      }
    } catch (error) {
      // A reader such as `head` closes the pipe when it needs no more. Any other error, such as a full disk, loses output.
      if (!(error instanceof Deno.errors.BrokenPipe)) this.#failure = error;
      this.#broken = true;
      this.#waiting = [];
      this.#bytes = 0;
      this.#leave();
    } finally {
      this.#writing = null;
    }
  }
}
