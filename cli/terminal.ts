import { printable, toJson } from "../src/util/quote.ts";
import { Output } from "./output.ts";

/** The terminal of a command: its output, its remarks, and its signals. */
export class Terminal {
  /** Standard output: the results of the command. */
  readonly out = new Output();
  /** Standard error: remarks and errors. */
  readonly err = new Output(Deno.stderr);
  /** Resolves at the first Ctrl-C or SIGTERM. */
  readonly interrupted: Promise<void>;
  /** Whether remarks are left out. */
  quiet = false;
  /** Whether events, failures included, are printed as JSON objects. */
  json = false;
  /** Restores the terminal before the process ends at once. */
  restore: () => void = () => {};
  readonly #resolve: () => void;
  #interrupted = false;

  /** Listens for signals. */
  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.interrupted = promise;
    this.#resolve = resolve;
    const stop = () => this.interrupt();
    Deno.addSignalListener("SIGINT", stop);
    if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", stop);
  }

  /** Handles Ctrl-C; a second one ends the process at once. */
  interrupt(): void {
    if (this.#interrupted) {
      this.restore();
      Deno.exit(130);
    }
    this.#interrupted = true;
    this.#resolve();
  }

  /** Whether a signal has come. */
  get isInterrupted(): boolean {
    return this.#interrupted;
  }

  /** Prints a line on standard output, without characters that could control the terminal. */
  print(text: string): Promise<void> | undefined {
    return this.out.line(printable(text));
  }

  /** Prints an object of `--json` on standard output, in one line. */
  event(object: Record<string, unknown>): Promise<void> | undefined {
    return this.out.line(toJson(object));
  }

  /** Prints a remark, in one line. */
  note(text: string): void {
    if (!this.quiet) this.err.line(printable(text));
  }

  /** Prints an error, in one line. */
  error(text: string): void {
    this.err.line(`sluice: ${printable(text.replace(/\s*\n\s*/g, " "))}`);
  }

  /** Resolves when the command has to stop: after a signal, or if standard output can't be written any more. */
  stopped(): Promise<void> {
    return Promise.race([this.interrupted, this.out.gone]);
  }

  /** Resolves when everything is printed. */
  async flush(): Promise<void> {
    await Promise.all([this.out.flush(), this.err.flush()]);
  }
}
