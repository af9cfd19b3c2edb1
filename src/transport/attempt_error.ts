const { errors } = Deno;

/** What callers test for. */
const KINDS = [
  errors.AddrInUse,
  errors.AddrNotAvailable,
  errors.ConnectionRefused,
  errors.NotFound,
  errors.PermissionDenied,
  errors.TimedOut,
];

/**
 * Writes an address as it is in a URL.
 *
 * @param hostname The host, IPv6 without brackets.
 * @param port The port.
 * @returns `host:port`, with brackets around IPv6.
 */
export function formatAddress(hostname: string, port: number): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/**
 * Says what was attempted before what the kernel said, and keeps the error's class.
 *
 * @param attempt What was attempted.
 * @param cause The kernel's error.
 * @returns The new error, with the other one as its cause.
 */
export function attemptError(attempt: string, cause: Error): Error {
  // A missing permission stays as it is: its message is an instruction.
  if (cause instanceof errors.NotCapable || cause instanceof TypeError) return cause;
  const message = `${attempt}: ${cause.message}`;
  for (const Kind of KINDS) if (cause instanceof Kind) return new Kind(message, { cause });
  return new Error(message, { cause });
}
