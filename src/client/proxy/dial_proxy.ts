import type { Sockets } from "../../transport/sockets.ts";
import { closeQuietly } from "../../transport/stream_io.ts";
import { startTlsClient } from "../../transport/tls_client.ts";
import type { Transport } from "../../transport/transport.ts";
import { connectHttpProxy } from "./http_connect.ts";
import type { Proxy } from "./proxy_url.ts";
import { connectSocks5 } from "./socks5.ts";
import { dialTcp } from "../tcp.ts";

/** Options of {@linkcode dialProxy}. */
export interface DialProxyOptions {
  /** The implementation of sockets. Default: Deno's own. */
  sockets?: Sockets;
  /** The target's host, IPv6 without brackets. */
  hostname: string;
  /** The target's port. */
  port: number;
  /** Ends the attempt when aborted; a socket that was opened is closed. */
  signal?: AbortSignal;
  /** Further authorities for the certificate of an `https:` proxy, in addition to the default ones. */
  caCerts?: string[];
}

/**
 * Opens a tunnel through a proxy: TCP to the proxy, TLS if its URL is `https:`, and the request.
 *
 * @param proxy The proxy.
 * @param options The target.
 * @returns The connection to the target.
 * @throws {HandshakeError} If the proxy refuses. Errors of {@linkcode dialTcp} and {@linkcode startTlsClient}, and the
 * signal's reason, are thrown as they are.
 */
export async function dialProxy(proxy: Proxy, options: DialProxyOptions): Promise<Transport> {
  const { sockets, hostname, port, signal } = options;
  const tunnel = { hostname, port, username: proxy.username, password: proxy.password };
  let open: Transport = await dialTcp({
    sockets,
    hostname: proxy.hostname,
    port: proxy.port,
    signal,
  });
  const abort = () => closeQuietly(open);
  signal?.addEventListener("abort", abort);
  try {
    signal?.throwIfAborted();
    if (proxy.kind === "https") {
      open = await startTlsClient(open, proxy.hostname, { caCerts: options.caCerts });
    }
    const connect = proxy.kind === "socks5" ? connectSocks5 : connectHttpProxy;
    const tunnelled = await connect(open, tunnel);
    signal?.throwIfAborted();
    return tunnelled;
  } catch (error) {
    closeQuietly(open);
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}
