import { duration, group } from "../util/check.ts";
import { checkClose, GOING_AWAY } from "../protocol/close_code.ts";
import type { Registry, ShutdownOptions, ShutdownResult } from "./registry.ts";

/** Checks the options of a shutdown and fills in their defaults. */
export function shutdownArguments(options: ShutdownOptions): Required<ShutdownOptions> {
  group("shut down", "options", options, "an object");
  const { code = GOING_AWAY, reason = "" } = options;
  checkClose(code, reason);
  return { code, reason, timeout: duration("shut down", "timeout", options.timeout, 10_000) };
}

/**
 * Shuts connections down: at once, or when the application has done what it wanted to do before. What that has taken
 * is taken off the timeout.
 *
 * @param first Called just before.
 */
export function shutdownAfter(
  prepared: Promise<unknown> | null,
  registry: Registry,
  { code, reason, timeout }: Required<ShutdownOptions>,
  first: () => void = () => {},
): Promise<ShutdownResult> {
  const start = performance.now();
  const shutdown = (timeout: number) => {
    first();
    return registry.shutdown(code, reason, timeout);
  };
  if (prepared === null) return shutdown(timeout);
  return prepared.then(() => shutdown(Math.max(0, timeout - (performance.now() - start))));
}
