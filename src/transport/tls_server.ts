import tls from "node:tls";
import { peerCertificate } from "./peer_certificate.ts";
import { tlsError } from "./tls_errors.ts";
import { handshake, TlsOutcome } from "./tls_handshake.ts";
import { CipherSide, TlsTransport } from "./tls_stream.ts";
import { checkKeyPair, readCertificate } from "./pem.ts";
import type { Transport } from "./transport.ts";
import { group, refusal } from "../util/check.ts";

/** What a TLS server needs, all as PEM text. */
export interface TlsAcceptorOptions {
  /** The server's certificate, followed by those of the authorities between it and a root. */
  cert: string;
  /** The certificate's private key. */
  key: string;
  /** Authorities whose client certificates are accepted; given, every client must show one (mutual TLS). */
  clientCaCerts?: string | string[];
}

/**
 * Makes TLS streams of accepted connections.
 *
 * `Deno.listenTls` can't serve: its connections have Nagle's algorithm on, which holds a second small message back until
 * the first one is acknowledged, as much as 40 ms later, and offer no way to turn it off. So `node:tls` does the
 * cryptography (the same rustls) over an ordinary `Deno.TcpConn` with no delay.
 */
export class TlsAcceptor {
  readonly #context: tls.SecureContext;
  readonly #options: TlsAcceptorOptions;
  readonly #clientCaCerts: string[] | undefined;

  /**
   * @param options Certificate, key, and the client authorities if clients must show a certificate.
   * @throws {TypeError} If a PEM can't be read, or the key isn't the certificate's.
   */
  constructor(options: TlsAcceptorOptions) {
    group("listen", "tls", options, "{ cert, key, clientCaCerts }");
    const { cert, key, clientCaCerts } = options;
    if ("clientCa" in options) {
      throw new TypeError(
        "Cannot listen with tls.clientCa: the option is called tls.clientCaCerts",
      );
    }
    checkKeyPair("listen", cert, key);
    if (clientCaCerts !== undefined) {
      this.#clientCaCerts = [clientCaCerts].flat();
      const attempt = "listen with tls.clientCaCerts";
      if (this.#clientCaCerts.length === 0) throw refusal(attempt, [], "at least one certificate");
      for (const pem of this.#clientCaCerts) readCertificate(attempt, pem);
    }
    this.#options = { cert, key };
    this.#context = tls.createSecureContext({ cert, key });
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
    const cipher = new CipherSide(raw);
    const outcome = new TlsOutcome<Transport>(cipher);
    if (this.#clientCaCerts === undefined) this.#start(raw, cipher, outcome);
    else this.#startMutual(raw, cipher, outcome, this.#clientCaCerts);
    try {
      return await handshake(raw, cipher, outcome);
    } catch (error) {
      throw tlsError("TLS handshake failed", error);
    }
  }

  #start(raw: Transport, cipher: CipherSide, outcome: TlsOutcome<Transport>): void {
    const socket = new tls.TLSSocket(cipher, {
      isServer: true,
      secureContext: this.#context,
      ALPNProtocols: ["http/1.1"],
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
    ca: string[],
  ): void {
    const server = tls.createServer({
      ...this.#options,
      ca,
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: ["http/1.1"],
    });
    server.once("secureConnection", (socket) => {
      const certificate = peerCertificate(socket);
      if (!socket.authorized || certificate === undefined) {
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
