import { DENO_SOCKETS } from "../transport/deno_sockets.ts";
import type { Sockets, SocketTransport } from "../transport/sockets.ts";
import { attemptError, formatAddress } from "../transport/attempt_error.ts";
import { closeQuietly } from "../transport/stream_io.ts";

/** Options of {@linkcode dialTcp}. */
export interface DialTcpOptions {
  /** The implementation of sockets. Default: Deno's own. */
  sockets?: Sockets;
  /** A host name or an IP address, IPv6 without brackets. */
  hostname: string;
  /** The TCP port. */
  port: number;
  /** Ends the attempt when aborted; a socket that was opened is closed. */
  signal?: AbortSignal;
}

/**
 * Opens a TCP connection with `TCP_NODELAY`.
 *
 * The addresses of a host are tried as in RFC 8305: the next one at once after a refusal, else after 250 ms. So a host with
 * several addresses is reached if it listens on one of them.
 *
 * @param options The address, and a signal.
 * @returns The connection.
 * @throws The error of the sockets, with the host in its message; or the signal's reason.
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
    // The signal may have been aborted just when the connection was made.
    signal?.throwIfAborted();
    conn.setNoDelay?.(true);
    return conn;
  } catch (error) {
    closeQuietly(conn);
    throw error;
  }
}
