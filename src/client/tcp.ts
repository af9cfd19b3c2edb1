import { DENO_SOCKETS } from "../transport/deno_sockets.ts";
import type { Sockets, SocketTransport } from "../transport/sockets.ts";
import { closeQuietly } from "../transport/stream_io.ts";

/** Where {@linkcode dialTcp} connects to. */
export interface DialTcpOptions {
  /** What makes the socket. Default: Deno's own. */
  sockets?: Sockets;
  /** A host name or an IP address, IPv6 without brackets. */
  hostname: string;
  /** The TCP port. */
  port: number;
  /** Ends the attempt; what was opened is closed. */
  signal?: AbortSignal;
}

/**
 * Opens a TCP connection with no delay.
 *
 * The addresses of a host are raced as RFC 8305 says (the next one at once after a refusal, else after 250 ms), so a
 * host that has several and listens on one is reached either way.
 *
 * @param options Where to, and a signal.
 * @returns The connection.
 * @throws What the sockets throw, with the host in its message; the signal's reason.
 */
export async function dialTcp(options: DialTcpOptions): Promise<SocketTransport> {
  const { sockets = DENO_SOCKETS, hostname, port, signal } = options;
  let conn: SocketTransport;
  try {
    conn = await sockets.connectTcp(hostname, port, signal);
  } catch (error) {
    if (signal?.aborted || !(error instanceof Error)) throw signal?.reason ?? error;
    throw connectError(`Cannot connect to ${formatAddress(hostname, port)}`, error);
  }
  try {
    // It may have been aborted in the moment it was made.
    signal?.throwIfAborted();
    conn.setNoDelay?.(true);
    return conn;
  } catch (error) {
    closeQuietly(conn);
    throw error;
  }
}

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
 * Says what was attempted before what the kernel said, and keeps the error's class, which is what callers test.
 *
 * @param attempt What was attempted.
 * @param cause The error of the attempt.
 * @returns The new error, with the other one as its cause.
 */
function connectError(attempt: string, cause: Error): Error {
  const message = `${attempt}: ${cause.message}`;
  for (const Kind of [Deno.errors.ConnectionRefused, Deno.errors.NotFound, Deno.errors.TimedOut]) {
    if (cause instanceof Kind) return new Kind(message, { cause });
  }
  // A missing permission stays as it is: its message is an instruction.
  if (cause instanceof Deno.errors.NotCapable || cause instanceof TypeError) return cause;
  return new Error(message, { cause });
}
