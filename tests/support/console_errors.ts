import { EventLog } from "./event_log.ts";

/** Intercepts `console.error` until it is disposed. */
export class ConsoleErrors implements Disposable {
  /** The arguments of each call. */
  readonly calls: unknown[][] = [];
  readonly #print = console.error;
  readonly #lines = new EventLog<string>();

  constructor() {
    console.error = (...args: unknown[]) => {
      this.calls.push(args);
      this.#lines.push(args.join(" "));
    };
  }

  /** All calls as text, one per line. */
  get text(): string {
    return this.calls.map((args) => args.join(" ")).join("\n");
  }

  /** Removes and returns the next line; waits for one if there is none. */
  next(): Promise<string> {
    return this.#lines.next();
  }

  [Symbol.dispose](): void {
    console.error = this.#print;
  }
}
