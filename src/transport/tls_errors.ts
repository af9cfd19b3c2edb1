import { HandshakeError } from "../errors.ts";
import { printable } from "../util/quote.ts";

/** A TLS session has failed after its handshake. */
export class TlsError extends Error {
  /** The name of the class. */
  override readonly name = "TlsError";
  /** The reason in words. */
  readonly reason: string;

  /**
   * Makes the error.
   *
   * @param cause The error of `node:tls`.
   */
  constructor(cause: Error) {
    const reason = sessionReason(cause);
    super(`TLS failed: ${reason}`, { cause });
    this.reason = reason;
  }
}

/** Errors of `node:tls` and of Deno's own TLS, and their meaning in words. The first match counts. */
const REASONS: ReadonlyArray<readonly [RegExp, string]> = [
  [/PEER_DID_NOT_RETURN_A_CERTIFICATE|sent no certificates/, "the peer sent no certificate"],
  [
    /alert: ?CertificateRequired|CERTIFICATE_REQUIRED/i,
    "the peer requires a client certificate and got none",
  ],
  [/CERT_HAS_EXPIRED|certificate: Expired|certificate expired/i, "the certificate has expired"],
  [/CERT_NOT_YET_VALID|NotValidYet|not valid yet/i, "the certificate isn't valid yet"],
  [/CERT_REVOKED|: Revoked/, "the certificate was revoked"],
  [
    /ALTNAME_INVALID|NotValidForName|not valid for name/i,
    "the certificate is for another host name",
  ],
  [/CaUsedAsEndEntity/, "the certificate is that of an authority, not of a host"],
  [/SELF_SIGNED|SelfSigned/, "the certificate is self-signed"],
  [
    /UnknownIssuer|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|unable to verify/,
    "the certificate comes from an unknown issuer",
  ],
  [/InvalidPurpose|INVALID_PURPOSE/, "the certificate isn't meant for this purpose"],
  [
    /alert: ?(UnknownCA|UnknownCa)|ALERT_UNKNOWN_CA/,
    "the peer doesn't know our certificate's issuer",
  ],
  [
    /alert: ?CertificateExpired|ALERT_CERTIFICATE_EXPIRED/,
    "the peer says that our certificate has expired",
  ],
  [/alert: ?BadRecordMac|ALERT_BAD_RECORD_MAC/, "the peer could not decrypt the received data"],
  [/cannot decrypt|DecryptError/, "the received data could not be decrypted"],
  [
    /alert: ?(BadCertificate|CertificateUnknown|UnsupportedCertificate|AccessDenied)|ALERT_(BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE)/,
    "the peer refused our certificate",
  ],
  [
    /NoApplicationProtocol|NO_APPLICATION_PROTOCOL|support any known protocol/,
    "there is no application protocol in common (http/1.1 was offered)",
  ],
  [
    /WRONG_VERSION_NUMBER|InvalidContentType|corrupt message|InvalidMessage/,
    "the peer doesn't speak TLS",
  ],
  [
    /ProtocolVersion|peer is incompatible|UNSUPPORTED_PROTOCOL|PeerIncompatible/,
    "there is no TLS version or cipher in common",
  ],
  [/ECONNRESET|ConnectionReset|reset by peer/i, "the connection was reset"],
  [/UnexpectedEof|eof|EPIPE|BrokenPipe/i, "the peer closed the connection before the end"],
];

/**
 * Says in words why a TLS handshake has failed.
 *
 * @param error The error of `Deno.startTls`, a `Deno.TlsConn` or `node:tls`.
 * @returns The reason, or `undefined` if it isn't an error of TLS.
 */
function tlsReason(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = (error as { code?: unknown }).code;
  const text = `${typeof code === "string" ? code : ""} ${error.name}: ${error.message}`;
  for (const [pattern, reason] of REASONS) {
    if (pattern.test(text)) return reason;
  }
  return undefined;
}

/**
 * Says in words why a TLS session has failed after its handshake. With TLS 1.3 a client learns only then that its
 * certificate was refused.
 */
function sessionReason(error: Error): string {
  // A peer that has completed a handshake speaks TLS.
  if (/corrupt message|InvalidContentType/.test(error.message)) {
    return "the received data is not a TLS record";
  }
  return tlsReason(error) ?? printable(error.message);
}

/**
 * Makes the error of a failed TLS handshake.
 *
 * @param attempt The attempted action, such as `Cannot connect to example.com over TLS`.
 * @param cause The error that was thrown.
 * @returns An error whose message names the reason.
 */
export function tlsError(attempt: string, cause: unknown): HandshakeError {
  if (cause instanceof HandshakeError) return cause;
  const said = cause instanceof Error ? cause.message : String(cause);
  return new HandshakeError(`${attempt}: ${tlsReason(cause) ?? printable(said)}`, { cause });
}
