import { amount } from "./options.ts";
import { checkClose, GOING_AWAY } from "./protocol/close_code.ts";
import type { ShutdownOptions } from "./registry.ts";

/** Checks the options of a shutdown and fills in their defaults. */
export function shutdownArguments(options: ShutdownOptions): Required<ShutdownOptions> {
  const { code = GOING_AWAY, reason = "" } = options;
  checkClose(code, reason);
  return { code, reason, timeout: amount("shut down", "timeout", options.timeout, 10_000) };
}
