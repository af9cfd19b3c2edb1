import { isIP } from "node:net";
import { HandshakeError } from "../../errors.ts";
import { closeQuietly, readExactly, writeAll } from "../../transport/stream_io.ts";
import type { Transport } from "../../transport/transport.ts";
import { parseAddress } from "../../util/ip_address.ts";
import { formatAddress } from "../../transport/attempt_error.ts";
import { checkTunnel, proxyLeft, type Tunnel } from "./tunnel.ts";
import { encodeUtf8 } from "../../protocol/utf8.ts";

const NO_AUTHENTICATION = 0x00;
const USER_AND_PASSWORD = 0x02;

/** The meanings of replies (RFC 1928 6). */
const REPLIES: readonly string[] = [
  "it succeeded",
  "general failure",
  "its rules don't allow it",
  "network unreachable",
  "host unreachable",
  "connection refused",
  "the time to live expired",
  "it doesn't know the command",
  "it doesn't know the type of address",
];

/**
 * Opens a tunnel through a SOCKS5 proxy (RFC 1928), with user and password if they are given (RFC 1929). The proxy resolves
 * names.
 *
 * @param transport The connection to the proxy, which is closed if the tunnel fails. Closing it aborts.
 * @param tunnel The target and the credentials.
 * @returns The connection to the target, which is `transport` itself: no bytes after the proxy's answers are read.
 * @throws {HandshakeError} If the proxy refuses or doesn't speak SOCKS5.
 */
export async function connectSocks5(transport: Transport, tunnel: Tunnel): Promise<Transport> {
  const attempt = `Cannot reach ${
    formatAddress(tunnel.hostname, tunnel.port)
  } through the SOCKS5 proxy`;
  try {
    checkTunnel(tunnel);
    await authenticate(transport, tunnel, attempt);
    await writeAll(transport, formatRequest(tunnel));
    await readReply(transport, attempt);
    return transport;
  } catch (error) {
    closeQuietly(transport);
    throw error;
  }
}

async function authenticate(transport: Transport, tunnel: Tunnel, attempt: string): Promise<void> {
  const { username, password = "" } = tunnel;
  const methods = username === undefined
    ? [NO_AUTHENTICATION]
    : [NO_AUTHENTICATION, USER_AND_PASSWORD];
  await writeAll(transport, new Uint8Array([5, methods.length, ...methods]));
  const [version, method] = await read(transport, 2, attempt);
  if (version !== 5) throw new HandshakeError(`${attempt}: its answer isn't SOCKS5`);
  if (method === NO_AUTHENTICATION) return;
  if (method !== USER_AND_PASSWORD || username === undefined) {
    throw new HandshakeError(
      `${attempt}: ${
        username === undefined
          ? "it requires user and password"
          : "it supports no user and password"
      }`,
    );
  }
  const user = encodeUtf8(username);
  const pass = encodeUtf8(password);
  if (user.length < 1 || user.length > 255 || pass.length < 1 || pass.length > 255) {
    throw new TypeError(`${attempt}: user and password must have 1 to 255 bytes`);
  }
  await writeAll(transport, new Uint8Array([1, user.length, ...user, pass.length, ...pass]));
  const [, status] = await read(transport, 2, attempt);
  if (status !== 0) throw new HandshakeError(`${attempt}: it refused user or password`);
}

function formatRequest(tunnel: Tunnel): Uint8Array {
  const { hostname, port } = tunnel;
  const end = [port >> 8, port & 0xff];
  const kind = isIP(hostname);
  if (kind !== 0) {
    const address = parseAddress(hostname)!;
    return new Uint8Array([5, 1, 0, kind === 4 ? 1 : 4, ...address, ...end]);
  }
  const name = encodeUtf8(hostname);
  return new Uint8Array([5, 1, 0, 3, name.length, ...name, ...end]);
}

async function readReply(transport: Transport, attempt: string): Promise<void> {
  const [version, reply, , kind] = await read(transport, 4, attempt);
  if (version !== 5) throw new HandshakeError(`${attempt}: its answer isn't SOCKS5`);
  if (reply !== 0) {
    throw new HandshakeError(`${attempt}: ${REPLIES[reply] ?? `it answered ${reply}`} (${reply})`);
  }
  // The address that the proxy connects from isn't needed, but has to be read.
  let length: number;
  if (kind === 1) length = 4;
  else if (kind === 4) length = 16;
  else if (kind === 3) length = (await read(transport, 1, attempt))[0];
  else {throw new HandshakeError(
      `${attempt}: its answer has an address of the unknown type ${kind}`,
    );}
  await read(transport, length + 2, attempt);
}

async function read(transport: Transport, length: number, attempt: string): Promise<Uint8Array> {
  const bytes = await readExactly(transport, length);
  if (bytes === null) throw proxyLeft(attempt);
  return bytes;
}
