import type { Engine } from "../engine/engine.ts";

/**
 * The result of a shutdown.
 *
 * @see {@linkcode Context.prototype.shutdown}
 */
export interface ShutdownResult {
  /** Connections that were closed cleanly: both close frames were exchanged. */
  clean: number;
  /** Connections that had to be terminated, or were lost during the shutdown. */
  terminated: number;
}

/** Closes all connections of a registry, and those that open during the shutdown. */
export class ClosingConnections {
  readonly #code: number;
  readonly #reason: string;
  readonly #engines = new Set<Engine>();
  readonly #result: ShutdownResult = { clean: 0, terminated: 0 };
  #terminated = false;
  #whenNone: (() => void)[] = [];

  /** @param code The close code for all of them. */
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

  /** Resolves when no connection is left. */
  done(): Promise<void> {
    if (this.#engines.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenNone.push(resolve));
  }

  /** Terminates the connections that are left, and those that open later. */
  terminate(): void {
    this.#terminated = true;
    for (const engine of this.#engines) engine.terminate();
  }

  /** Returns the result. Connections that are left, such as those with unsettled callbacks, count as terminated. */
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
