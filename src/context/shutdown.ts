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
   * The close code for all connections.
   *
   * @default {1001}
   */
  code?: number;
  /**
   * The close reason.
   *
   * @default {""}
   */
  reason?: string;
  /**
   * The time in ms after which the remaining connections are terminated: 0 for at once, `Infinity` for never.
   *
   * @default {10000}
   */
  timeout?: number;
}

/** A source of connections, such as a listener, which stops before its connections are closed. */
export interface Entrance {
  /**
   * Stops accepting, and calls `onShutdown`.
   *
   * @returns A promise that never rejects if `onShutdown` is asynchronous, else `null`.
   */
  prepare(): Promise<void> | null;
  /** Resolves when all its connections and requests have ended. */
  served(): Promise<void>;
  /**
   * Ends at once everything that isn't a connection of the registry.
   *
   * @returns The number of requests that were cut off.
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

/** The rest of a time that begins with the constructor. */
export class Deadline {
  readonly #at: number;

  /** @param timeout The time in ms; `Infinity` for ever. */
  constructor(timeout: number) {
    this.#at = performance.now() + timeout;
  }

  /** The rest in ms. */
  get rest(): number {
    return Math.max(0, this.#at - performance.now());
  }
}

/**
 * Closes connections as soon as the entrances are prepared, and terminates the rest of them at the deadline. Resolves by
 * the deadline even if a callback of the application never settles.
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
  // Most terminated connections end at once.
  await within(0, done);
  const { clean, terminated } = closing.result();
  return { clean, terminated: terminated + cut };
}
