const { errors } = Deno;

/** Classes of errors that callers test for. */
const KINDS = [
  errors.AddrInUse,
  errors.AddrNotAvailable,
  errors.ConnectionRefused,
  errors.NotFound,
  errors.PermissionDenied,
  errors.TimedOut,
];

/**
 * Formats an address as in a URL.
 *
 * @param hostname The host, IPv6 without brackets.
 * @param port The port.
 * @returns `host:port`, with brackets around IPv6.
 */
export function formatAddress(hostname: string, port: number): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/**
 * Puts the attempted action before the kernel's message, and keeps the class of the error.
 *
 * @param attempt The attempted action.
 * @param cause The kernel's error.
 * @returns The new error, with the kernel's as its cause.
 */
export function attemptError(attempt: string, cause: Error): Error {
  // The error of a missing permission is kept: its message is an instruction.
  if (cause instanceof errors.NotCapable || cause instanceof TypeError) return cause;
  const message = `${attempt}: ${cause.message}`;
  for (const Kind of KINDS) if (cause instanceof Kind) return new Kind(message, { cause });
  return new Error(message, { cause });
}
