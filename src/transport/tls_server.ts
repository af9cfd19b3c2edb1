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
  /** The certificate, followed by those of the authorities between it and a root. */
  cert: string;
  /** The certificate's private key. */
  key: string;
}

/**
 * What a TLS server needs; certificates and keys are PEM text. At least a pair or `resolve` is needed.
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
   * Gives the certificate for the name that a client asks for (in lower case; `""` if it asks for none), at once or later,
   * but within `handshakeTimeout`. Nothing: the one of `cert` and `key`; without those the client is refused with the
   * alert `unrecognized_name`. A failure refuses as well. Asked for each handshake.
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
  /** Authorities whose client certificates are accepted; given, every client must show one (mutual TLS). */
  clientCaCerts?: string | string[];
}

/** A certificate that has been read. */
interface Served extends CertificateKeyPair {
  readonly context: tls.SecureContext;
}

/** The fatal alert for a name without a certificate (RFC 6066 3), in a record of its own. */
const UNRECOGNIZED_NAME = Uint8Array.of(21, 3, 3, 0, 2, 2, 112);

/** @throws {TypeError} If a PEM can't be read, or the key isn't the certificate's. */
function served(action: string, cert: unknown, key: unknown): Served {
  checkKeyPair(action, cert, key);
  const pair = { cert: cert as string, key: key as string };
  return { ...pair, context: tls.createSecureContext(pair) };
}

/** The certificates that a listener shows and trusts, checked; never changed, so that a handshake ends as it began. */
class Credentials {
  /** The certificate for names that `resolve` doesn't know; `null` if there is none. */
  readonly byDefault: Served | null;
  readonly resolve: TlsAcceptorOptions["resolve"];
  readonly clientCaCerts: string[] | undefined;
  /** Those certificates, read. */
  readonly authorities: readonly X509Certificate[] = [];

  /** @throws {TypeError} If a PEM can't be read, or the key isn't the certificate's. */
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
 * Makes TLS streams of accepted connections.
 *
 * `Deno.listenTls` can't serve: its connections have Nagle's algorithm on, which holds a second small message back until
 * the first one is acknowledged, as much as 40 ms later, and offer no way to turn it off. So `node:tls` does the
 * cryptography (the same rustls) over an ordinary `Deno.TcpConn` with no delay.
 */
export class TlsAcceptor {
  #credentials: Credentials;
  readonly #protocols: string[];

  /**
   * @param options Certificate, key, and the client authorities if clients must show a certificate.
   * @param protocols What is offered by ALPN (RFC 7301), the preferred first.
   * @throws {TypeError} If a PEM can't be read, or the key isn't the certificate's.
   */
  constructor(options: TlsAcceptorOptions, protocols: string[] = ["http/1.1"]) {
    this.#protocols = protocols;
    this.#credentials = new Credentials("listen", options);
  }

  /**
   * Replaces all of it for handshakes to come.
   *
   * @throws {TypeError} If a PEM can't be read, or the key isn't the certificate's: then the old ones stay.
   */
  replace(options: TlsAcceptorOptions): void {
    this.#credentials = new Credentials("set TLS", options);
  }

  /**
   * Performs the server's side of a TLS handshake.
   *
   * @param raw The accepted connection, with no delay set; ours from now on, and closed if the handshake fails. Closing
   * it aborts the handshake.
   * @returns The decrypted stream, with the client's certificate if one was asked for.
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

  /** A client's certificate is judged by `tls.Server` alone, not by a socket on its own; so each gets a server. */
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
    // An unknown or expired certificate is only noted on the socket; the error says that the connection was reset.
    server.once("tlsClientError", (error, socket) => {
      const verdict = socket.authorizationError as Error | string | null | undefined;
      outcome.fail(verdict ? new Error(String(verdict), { cause: error }) : error);
    });
    server.emit("connection", cipher);
  }
}
