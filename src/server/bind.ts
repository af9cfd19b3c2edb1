import { attemptError, formatAddress } from "../transport/attempt_error.ts";
import { resolveSockets } from "../transport/deno_sockets.ts";
import type { SocketListener } from "../transport/sockets.ts";
import type { TlsAcceptor } from "../transport/tls_server.ts";
import { flag, integer, refusal } from "../util/check.ts";
import type { AnyListenOptions } from "./listen_options.ts";
import { bindUnix } from "./unix_listener.ts";

/** The options that say where to listen. */
export type BindOptions = Pick<
  AnyListenOptions<unknown>,
  "port" | "hostname" | "unix" | "listener" | "reusePort" | "backlog" | "sockets"
>;

const BACKLOG = 4096;

/**
 * Binds a listener, or checks one that is bound already.
 *
 * @param tls TLS for accepted sockets; `null` for none.
 */
export function bind(options: BindOptions, tls: TlsAcceptor | null): SocketListener {
  if (options.listener !== undefined) return checkGiven(options, options.listener, tls);
  const { port = 0, hostname = "0.0.0.0", unix } = options;
  const sockets = resolveSockets("listen", options.sockets);
  const reusePort = flag("listen", "reusePort", options.reusePort, false);
  const backlog = integer("listen", "backlog", options.backlog, BACKLOG, 1, 0x7fffffff);
  if (unix !== undefined) {
    if (typeof unix !== "string" || unix === "") {
      throw refusal("listen on unix", unix, "the path of a Unix socket");
    }
    if (options.port !== undefined || options.hostname !== undefined) {
      throw new TypeError("Cannot listen on a path and on a port: give one of them");
    }
    return bindUnix(unix, sockets, backlog);
  }
  integer("listen on", "port", port, 0, 0, 65535);
  if (typeof hostname !== "string") {
    throw refusal("listen on hostname", hostname, "a name or an address");
  }
  try {
    return sockets.listenTcp({ hostname, port, backlog, reusePort });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw attemptError(`Cannot listen on ${formatAddress(hostname, port)}`, error);
  }
}

/** Checks a given listener, which isn't touched if it is refused. */
function checkGiven(
  options: BindOptions,
  listener: Deno.Listener,
  tls: TlsAcceptor | null,
): SocketListener {
  if (typeof listener?.accept !== "function" || typeof listener.close !== "function") {
    throw refusal("listen with listener", listener, "a listener of Deno's");
  }
  for (const name of ["port", "hostname", "unix", "reusePort", "backlog"] as const) {
    if (options[name] !== undefined) {
      throw new TypeError(`Cannot listen with both listener and ${name}: the listener is bound`);
    }
  }
  if (tls !== null && listener.addr.transport !== "tcp") {
    throw new TypeError("Cannot listen with tls on a listener that is not TCP");
  }
  return listener;
}

/** Returns a URL that reaches an address from this machine. */
export function urlOf(addr: Deno.Addr, secure: boolean): string {
  const scheme = secure ? "wss" : "ws";
  if (!("hostname" in addr)) return `${scheme}://localhost/`;
  const { hostname, port } = addr;
  let host = hostname;
  if (host === "0.0.0.0") host = "127.0.0.1";
  else if (host === "::") host = "[::1]";
  else if (host.includes(":")) host = `[${host}]`;
  return `${scheme}://${host}:${port}/`;
}
