import type { X509Certificate } from "node:crypto";
import tls from "node:tls";
import { isSignedBy, readAuthorities } from "./client_chain.ts";
import { peerCertificate } from "./peer_certificate.ts";
import { tlsError } from "./tls_errors.ts";
import { handshake, TlsOutcome } from "./tls_handshake.ts";
import { awaitServerName } from "./client_hello.ts";
import { PrefixedTransport } from "./prefixed.ts";
import { closeQuietly } from "./stream_io.ts";
import { CipherSide, TlsTransport } from "./tls_stream.ts";
import { checkKeyPair, readCertificate } from "./pem.ts";
import type { Transport } from "./transport.ts";
import { checkHandlers, group, refusal } from "../util/check.ts";

/**
 * A certificate and its private key, as PEM text.
 *
 * @see {@linkcode TlsAcceptorOptions}
 */
export interface CertificateKeyPair {
  /** The certificate, followed by intermediate certificates. */
  cert: string;
  /** The certificate's private key. */
  key: string;
}

/**
 * Options of TLS for a server. Certificates and keys are PEM text. `cert` and `key`, or `resolve`, are mandatory.
 *
 * @example
 * ```ts no-eval
 * import { Context } from "@sluice/websocket";
 *
 * const [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map((file) => Deno.readTextFileSync(file));
 * await using ctx = new Context();
 * ctx.listen({
 *   hostname: "127.0.0.1",
 *   tls: { cert, key, clientCaCerts: ca }, // every client must show a certificate of that authority
 *   onConnect: (conn) => void conn.send(`hello ${conn.peerCertificate?.subject.CN}`),
 * });
 * ```
 */
export interface TlsAcceptorOptions extends Partial<CertificateKeyPair> {
  /**
   * Returns the certificate for the server name that a client requests, or a promise of it, for each handshake. The name is
   * in lower case, and `""` if the client requests none. If it returns nothing, `cert` and `key` are used; without these
   * the client is refused with the alert `unrecognized_name`. If it throws or rejects, the client is refused.
   * `handshakeTimeout` limits the wait.
   */
  resolve?: (
    serverName: string,
  ) =>
    | CertificateKeyPair
    | undefined
    | null
    | void
    | PromiseLike<
      CertificateKeyPair | undefined | null | void
    >;
  /** Authorities for certificates of clients. If given, every client must show a certificate (mutual TLS). */
  clientCaCerts?: string | string[];
}

/** A certificate that has been checked. */
interface Served extends CertificateKeyPair {
  readonly context: tls.SecureContext;
}

/** The fatal alert for a name without a certificate (RFC 6066 3), as a record. */
const UNRECOGNIZED_NAME = Uint8Array.of(21, 3, 3, 0, 2, 2, 112);

/** @throws {TypeError} If a PEM can't be parsed, or the key doesn't match the certificate. */
function served(action: string, cert: unknown, key: unknown): Served {
  checkKeyPair(action, cert, key);
  const pair = { cert: cert as string, key: key as string };
  return { ...pair, context: tls.createSecureContext(pair) };
}

/** The checked certificates that a listener shows and trusts. They never change, so a handshake ends as it began. */
class Credentials {
  /** The certificate for names for which `resolve` returns none; `null` if there is none. */
  readonly byDefault: Served | null;
  readonly resolve: TlsAcceptorOptions["resolve"];
  readonly clientCaCerts: string[] | undefined;
  /** The parsed certificates of `clientCaCerts`. */
  readonly authorities: readonly X509Certificate[] = [];

  /** @throws {TypeError} If a PEM can't be parsed, or the key doesn't match the certificate. */
  constructor(action: string, options: TlsAcceptorOptions) {
    const allowed = "{ cert, key, clientCaCerts, resolve }";
    if (options === undefined) throw refusal(`${action} with tls`, options, allowed);
    group(action, "tls", options, allowed);
    const { cert, key, clientCaCerts, resolve } = options;
    checkHandlers(`${action} with tls`, options, ["resolve"]);
    if ("clientCa" in options) {
      throw new TypeError(
        `Cannot ${action} with tls.clientCa: the option is called tls.clientCaCerts`,
      );
    }
    const onlyResolved = resolve !== undefined && cert === undefined && key === undefined;
    this.byDefault = onlyResolved ? null : served(action, cert, key);
    this.resolve = resolve;
    if (clientCaCerts !== undefined) {
      this.clientCaCerts = [clientCaCerts].flat();
      const attempt = `${action} with tls.clientCaCerts`;
      if (this.clientCaCerts.length === 0) throw refusal(attempt, [], "at least one certificate");
      for (const pem of this.clientCaCerts) readCertificate(attempt, pem);
      this.authorities = readAuthorities(this.clientCaCerts);
    }
  }
}

/**
 * Makes TLS streams from accepted connections.
 *
 * `Deno.listenTls` isn't suitable: its connections use Nagle's algorithm, which holds a second small message until the first
 * one is acknowledged, up to 40 ms later, and it can't be turned off. So `node:tls` does the cryptography (with the same
 * rustls) over an ordinary `Deno.TcpConn` with `TCP_NODELAY`.
 */
export class TlsAcceptor {
  #credentials: Credentials;
  readonly #protocols: string[];

  /**
   * @param options The options of TLS.
   * @param protocols The protocols to offer by ALPN (RFC 7301), in order of preference.
   * @throws {TypeError} If a PEM can't be parsed, or the key doesn't match the certificate.
   */
  constructor(options: TlsAcceptorOptions, protocols: string[] = ["http/1.1"]) {
    this.#protocols = protocols;
    this.#credentials = new Credentials("listen", options);
  }

  /**
   * Replaces all options, for later handshakes.
   *
   * @throws {TypeError} If a PEM can't be parsed, or the key doesn't match the certificate. The earlier options then stay.
   */
  replace(options: TlsAcceptorOptions): void {
    this.#credentials = new Credentials("set TLS", options);
  }

  /**
   * Performs the server's side of a TLS handshake.
   *
   * @param raw The accepted connection, with `TCP_NODELAY`. It is closed if the handshake fails; closing it aborts the
   * handshake.
   * @returns The decrypted stream, with the client's certificate if it is requested.
   * @throws {HandshakeError} With the reason in its message.
   */
  async accept(raw: Transport): Promise<Transport> {
    const credentials = this.#credentials, { resolve, byDefault } = credentials;
    try {
      if (resolve === undefined) return await this.#shakeHands(raw, byDefault!, credentials);
      const { serverName, bytes } = await awaitServerName(raw);
      const pair = await resolve(serverName);
      const found = pair === undefined || pair === null
        ? byDefault
        : served("shake hands", pair.cert, pair.key);
      if (found !== null) {
        return await this.#shakeHands(new PrefixedTransport(bytes, raw), found, credentials);
      }
      await raw.write(UNRECOGNIZED_NAME);
      throw new Error(`no certificate for the name ${JSON.stringify(serverName)}`);
    } catch (error) {
      closeQuietly(raw);
      throw tlsError("TLS handshake failed", error);
    }
  }

  #shakeHands(
    raw: Transport,
    certificate: Served,
    credentials: Credentials,
  ): Promise<Transport> {
    const cipher = new CipherSide(raw);
    const outcome = new TlsOutcome<Transport>(cipher);
    if (credentials.clientCaCerts === undefined) this.#start(raw, cipher, outcome, certificate);
    else this.#startMutual(raw, cipher, outcome, certificate, credentials);
    return handshake(raw, cipher, outcome);
  }

  #start(
    raw: Transport,
    cipher: CipherSide,
    outcome: TlsOutcome<Transport>,
    { context }: Served,
  ): void {
    const socket = new tls.TLSSocket(cipher, {
      isServer: true,
      secureContext: context,
      ALPNProtocols: this.#protocols,
    });
    const transport = new TlsTransport(raw, cipher, socket);
    socket.once("error", (error: Error) => outcome.fail(error));
    socket.once("secure", () => outcome.succeed(transport));
  }

  /** Only a `tls.Server` verifies a client's certificate, a single socket doesn't. So each handshake gets a server. */
  #startMutual(
    raw: Transport,
    cipher: CipherSide,
    outcome: TlsOutcome<Transport>,
    { cert, key }: Served,
    { clientCaCerts, authorities }: Credentials,
  ): void {
    const server = tls.createServer({
      cert,
      key,
      ca: clientCaCerts,
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: this.#protocols,
    });
    server.once("secureConnection", (socket) => {
      const certificate = peerCertificate(socket);
      const resumed = socket.isSessionReused();
      if (
        !socket.authorized || certificate === undefined ||
        (resumed && !isSignedBy(socket, authorities))
      ) {
        socket.on("error", () => {});
        outcome.fail(new Error("the client's certificate wasn't accepted"));
        return;
      }
      outcome.succeed(new TlsTransport(raw, cipher, socket, certificate));
    });
    // The reason for refusing a certificate is only on the socket; the error itself says that the connection was reset.
    server.once("tlsClientError", (error, socket) => {
      const verdict = socket.authorizationError as Error | string | null | undefined;
      outcome.fail(verdict ? new Error(String(verdict), { cause: error }) : error);
    });
    server.emit("connection", cipher);
  }
}
