import { DENO_SOCKETS } from "../transport/deno_sockets.ts";
import type { Sockets, SocketTransport } from "../transport/sockets.ts";
import { attemptError, formatAddress } from "../transport/attempt_error.ts";
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
    throw attemptError(`Cannot connect to ${formatAddress(hostname, port)}`, error);
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
