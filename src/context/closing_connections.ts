import type { Engine } from "../engine/engine.ts";

/**
 * How a shutdown went.
 *
 * @see {@linkcode Context.prototype.shutdown}
 */
export interface ShutdownResult {
  /** Connections that were closed with close frames both ways. */
  clean: number;
  /** Connections that had to be terminated, or were lost in that time. */
  terminated: number;
}

/** The end of all connections that a registry holds, and of those that still open in that time. */
export class ClosingConnections {
  readonly #code: number;
  readonly #reason: string;
  readonly #engines = new Set<Engine>();
  readonly #result: ShutdownResult = { clean: 0, terminated: 0 };
  #terminated = false;
  #whenNone: (() => void)[] = [];

  /** @param code What they are closed with. */
  constructor(code: number, reason: string) {
    this.#code = code;
    this.#reason = reason;
  }

  /** Closes a connection. */
  add(engine: Engine): void {
    this.#engines.add(engine);
    if (this.#terminated) engine.terminate();
    else engine.close(this.#code, this.#reason);
    engine.closed().then(({ wasClean }) => this.#ended(engine, wasClean));
  }

  /** Resolves when none is left. */
  done(): Promise<void> {
    if (this.#engines.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenNone.push(resolve));
  }

  /** Terminates those that are left, and those that still come. */
  terminate(): void {
    this.#terminated = true;
    for (const engine of this.#engines) engine.terminate();
  }

  /** How it went; those that are left, such as those whose callbacks haven't settled, had to be terminated. */
  result(): ShutdownResult {
    const { clean, terminated } = this.#result;
    return { clean, terminated: terminated + this.#engines.size };
  }

  #ended(engine: Engine, wasClean: boolean): void {
    if (!this.#engines.delete(engine)) return;
    if (wasClean) this.#result.clean++;
    else this.#result.terminated++;
    if (this.#engines.size > 0) return;
    for (const resolve of this.#whenNone.splice(0)) resolve();
  }
}
