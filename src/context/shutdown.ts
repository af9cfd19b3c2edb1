import { duration, group } from "../util/check.ts";
import { checkClose, GOING_AWAY } from "../protocol/close_code.ts";
import { within } from "../util/timers.ts";
import type { ShutdownResult } from "./closing_connections.ts";
import type { Registry } from "./registry.ts";

/**
 * Options of `shutdown`.
 *
 * @see {@linkcode Context.prototype.shutdown}
 */
export interface ShutdownOptions {
  /**
   * The code that every connection is closed with.
   *
   * @default {1001}
   */
  code?: number;
  /**
   * The reason.
   *
   * @default {""}
   */
  reason?: string;
  /**
   * When what is left is terminated, in ms: 0 for at once, `Infinity` for never.
   *
   * @default {10000}
   */
  timeout?: number;
}

/** What brings connections in, and is shut before they are closed. */
export interface Entrance {
  /**
   * Lets nothing more in, and calls `onShutdown`.
   *
   * @returns A promise, which never rejects, if the application takes its time.
   */
  prepare(): Promise<void> | null;
  /** Resolves when no connection and no request is left that has come in by it. */
  served(): Promise<void>;
  /**
   * Ends at once what isn't a connection of the registry.
   *
   * @returns How many requests had to be cut.
   */
  terminate(): number;
}

/** Checks the options of a shutdown and fills in their defaults. */
export function shutdownArguments(options: ShutdownOptions): Required<ShutdownOptions> {
  group("shut down", "options", options, "an object");
  const { code = GOING_AWAY, reason = "" } = options;
  checkClose(code, reason);
  return { code, reason, timeout: duration("shut down", "timeout", options.timeout, 10_000) };
}

/** What is left of a time that runs from when this is made. */
export class Deadline {
  readonly #at: number;

  /** @param timeout The time in ms; `Infinity` for ever. */
  constructor(timeout: number) {
    this.#at = performance.now() + timeout;
  }

  /** What is left, in ms. */
  get rest(): number {
    return Math.max(0, this.#at - performance.now());
  }
}

/**
 * Shuts connections down: at once, or when the application has done what it wanted to do before. Resolves by the
 * deadline, whatever the application's callbacks do.
 *
 * @param first Called just before the connections are closed.
 */
export async function shutDown(
  registry: Registry,
  entrances: readonly Entrance[],
  { code, reason }: Required<ShutdownOptions>,
  deadline: Deadline,
  first: () => void = () => {},
): Promise<ShutdownResult> {
  const preparing = entrances.map((entrance) => entrance.prepare()).filter((it) => it !== null);
  if (preparing.length > 0) await within(deadline.rest, Promise.all(preparing));
  first();
  const closing = registry.close(code, reason);
  const done = Promise.all([closing.done(), ...entrances.map((entrance) => entrance.served())]);
  if (await within(deadline.rest, done)) return closing.result();
  let cut = 0;
  for (const entrance of entrances) cut += entrance.terminate();
  closing.terminate();
  // What ends at once has ended by then.
  await within(0, done);
  const { clean, terminated } = closing.result();
  return { clean, terminated: terminated + cut };
}
