import { HandshakeError, TimeoutError } from "../mod.ts";
import { printable } from "../src/util/quote.ts";
import { EXIT, UsageError } from "./usage.ts";

/** An error for the user of the tool. */
export interface Failure {
  readonly code: number;
  readonly message: string;
}

/** A connection has ended unexpectedly. */
export class LostError extends Error {
  /** The name of the class. */
  override readonly name = "LostError";
}

/** Returns the message and the exit code for an error. */
export function failureOf(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof UsageError) return { code: EXIT.usage, message };
  if (error instanceof Deno.errors.NotCapable) return { code: EXIT.permission, message };
  if (error instanceof HandshakeError) {
    if (error.status === 0 && / TLS\b|certificate/.test(message)) {
      return { code: EXIT.tls, message };
    }
    if (/proxy/i.test(message)) return { code: EXIT.unreachable, message };
    return { code: EXIT.refused, message: message + firstLine(error.body) };
  }
  if (error instanceof TimeoutError || isUnreachable(error)) {
    return { code: EXIT.unreachable, message };
  }
  return { code: EXIT.lost, message };
}

/** Calls a function that checks arguments of the user, and turns its errors into usage errors. */
export function typed<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof Error && isMistake(error)) throw new UsageError(error.message);
    throw error;
  }
}

function isMistake(error: Error): boolean {
  return error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError;
}

function isUnreachable(error: unknown): boolean {
  const { errors } = Deno;
  return error instanceof Error &&
    ([
      errors.ConnectionRefused,
      errors.NotFound,
      errors.TimedOut,
      errors.AddrInUse,
      errors.AddrNotAvailable,
      errors.PermissionDenied,
      errors.NetworkUnreachable,
      errors.ConnectionReset,
    ].some((kind) => error instanceof kind) ||
      /^Cannot connect to /.test(error.message));
}

/** The beginning of a refusal's body, which often says why. */
function firstLine(body: Uint8Array): string {
  const line = new TextDecoder().decode(body).split("\n", 1)[0].trim();
  const shown = printable(line).slice(0, 200);
  return shown === "" || shown.startsWith("<") ? "" : `: ${shown}`;
}
