import { isIP } from "node:net";
import tls from "node:tls";
import { tlsError } from "./tls_errors.ts";
import { handshake, TlsOutcome } from "./tls_handshake.ts";
import { checkServerIdentity } from "./server_identity.ts";
import { closeQuietly } from "./stream_io.ts";
import { CipherSide, TlsTransport } from "./tls_stream.ts";
import { checkKeyPair, notPem, readCertificate } from "./pem.ts";
import type { Transport } from "./transport.ts";
import { flag, group, refusal } from "../util/check.ts";

/**
 * Options of TLS for a client. All certificates and keys are PEM text.
 *
 * @example
 * ```ts no-eval
 * import { Context } from "@sluice/websocket";
 *
 * const [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map((file) => Deno.readTextFileSync(file));
 * await using ctx = new Context({ tls: { caCerts: [ca], cert, key } });
 * await ctx.connect("wss://example.com/").opened;
 * ```
 */
export interface TlsClientOptions {
  /** Authorities to trust in addition to the default ones. */
  caCerts?: string[];
  /** The client's certificate, followed by intermediate certificates. */
  cert?: string;
  /** The private key of `cert`. */
  key?: string;
  /** The name that the server's certificate must have, and that is sent to the server. Default: the host of the URL. */
  serverName?: string;
  /**
   * Whether to accept any certificate of any host, for tests and for devices with self-signed certificates.
   *
   * @default {false}
   */
  insecure?: boolean;
}

/**
 * Checks a client's TLS options, so that a mistake throws at once.
 *
 * @param options The options.
 * @param action The attempted action, for error messages.
 * @throws {TypeError} If a PEM can't be parsed, or the key doesn't match the certificate.
 */
export function checkTlsClientOptions(
  options: TlsClientOptions | undefined,
  action: string = "connect",
): void {
  group(action, "tls", options, "{ caCerts, cert, key, serverName, insecure }");
  if (options === undefined) return;
  const { caCerts, cert, key, serverName } = options;
  if ((cert === undefined) !== (key === undefined)) {
    const given = cert === undefined ? "key" : "cert";
    throw new TypeError(`Cannot ${action} with tls.${given} alone: cert and key go together`);
  }
  if (caCerts !== undefined) {
    if (!Array.isArray(caCerts)) {
      throw notPem(`${action} with tls.caCerts`, caCerts, "a list of certificates in PEM");
    }
    for (const pem of caCerts) readCertificate(`${action} with an entry of tls.caCerts`, pem);
  }
  if (cert !== undefined) checkKeyPair(action, cert, key);
  if (
    serverName !== undefined && (typeof serverName !== "string" || !/^[\w.:-]+$/.test(serverName))
  ) {
    throw refusal(`${action} with tls.serverName`, serverName, "the name of a host");
  }
  flag(action, "tls.insecure", options.insecure, false);
}

/**
 * Performs the client's side of a TLS handshake, over any transport.
 *
 * It uses `node:tls`, although `Deno.startTls` transfers bulk data twice as fast. But `Deno.startTls` silently ignores client
 * certificates, always verifies, takes only a `Deno.TcpConn`, and can't be aborted: if its connection is closed during
 * the handshake, or while the peer doesn't read, a task of the runtime keeps the socket open until the peer leaves.
 *
 * @param raw The connection, with `TCP_NODELAY` and without a pending read. It is closed if the handshake fails; closing it
 * aborts the handshake.
 * @param hostname The requested host, IPv6 without brackets.
 * @param options See {@linkcode TlsClientOptions}.
 * @param protocols The protocols to offer by ALPN (RFC 7301), in order of preference.
 * @returns The decrypted stream.
 * @throws {HandshakeError} With the reason in its message.
 */
export async function startTlsClient(
  raw: Transport,
  hostname: string,
  options: TlsClientOptions = {},
  protocols: string[] = ["http/1.1"],
): Promise<TlsTransport> {
  const { caCerts, cert, key, insecure } = options;
  const name = options.serverName ?? hostname;
  const cipher = new CipherSide(raw);
  const outcome = new TlsOutcome<TlsTransport>(cipher);
  try {
    const socket = tls.connect({
      socket: cipher,
      // An address can't be sent as a server name, but the certificate is checked against it.
      ...(isIP(name) ? {} : { servername: name }),
      host: name,
      ca: caCerts === undefined || caCerts.length === 0 ? undefined : caCerts,
      cert,
      key,
      rejectUnauthorized: !insecure,
      checkServerIdentity: (name, { raw }) => checkServerIdentity(name, raw),
      ALPNProtocols: protocols,
    });
    const transport = new TlsTransport(raw, cipher, socket);
    socket.once("error", (error: Error) => outcome.fail(error));
    socket.once("secureConnect", () => outcome.succeed(transport));
    return await handshake(raw, cipher, outcome);
  } catch (error) {
    closeQuietly(raw);
    throw tlsError(`Cannot connect to ${hostname} over TLS`, error);
  }
}
