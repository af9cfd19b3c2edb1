import { HandshakeError } from "../../errors.ts";
/** The request for a proxy. */
export interface Tunnel {
  /** The target's host: a name or an address, IPv6 without brackets. */
  hostname: string;
  /** The target's port. */
  port: number;
  /** The user; `undefined` for no credentials. */
  username?: string;
  /** The password. */
  password?: string;
}

/**
 * Checks a target before it is written, so that no part of it can be read as something else.
 *
 * @param tunnel The target.
 * @throws {TypeError} If the host isn't a name or an address, or the port is invalid.
 */
export function checkTunnel(tunnel: Tunnel): void {
  const { hostname, port } = tunnel;
  if (!/^[\w.:%-]{1,255}$/.test(hostname)) {
    throw new TypeError(`Cannot ask a proxy for ${JSON.stringify(hostname)}: not a host name`);
  }
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new TypeError(`Cannot ask a proxy for port ${port}: not in 1 to 65535`);
  }
}

/** The error of a proxy that has closed the connection before its answer was complete. */
export function proxyLeft(attempt: string): HandshakeError {
  const message = "it closed the connection";
  return new HandshakeError(`${attempt}: ${message}`, {
    cause: new Deno.errors.UnexpectedEof(message),
  });
}
