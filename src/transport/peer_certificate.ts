import type { TLSSocket } from "node:tls";

/**
 * A distinguished name: `{ CN: "alice", O: "Example" }`; a list if an attribute occurs more than once.
 *
 * @see {@linkcode TlsAcceptorOptions}
 */
export type CertificateName = Readonly<Record<string, string | readonly string[]>>;

/**
 * The certificate that a TLS peer showed, and that was verified.
 *
 * @see {@linkcode TlsAcceptorOptions}
 */
export interface PeerCertificate {
  /** Whose it is. */
  readonly subject: CertificateName;
  /** The issuer that signed it. */
  readonly issuer: CertificateName;
  /** Its other names, as OpenSSL prints them; `""` if it has none. */
  readonly subjectAltName: string;
  /** Its serial number in hexadecimal. */
  readonly serialNumber: string;
  /** Its SHA-256 fingerprint: upper-case hexadecimal, with colons. */
  readonly fingerprint256: string;
  /** When its validity starts and ends. */
  readonly validFrom: Date;
  /** When its validity ends. */
  readonly validTo: Date;
  /** The certificate in DER. */
  readonly raw: Uint8Array;
}

/**
 * Reads the certificate that the peer of a TLS socket has shown.
 *
 * @param socket A socket whose handshake is complete.
 * @returns The certificate, or `undefined` if it showed none.
 */
export function peerCertificate(socket: TLSSocket): PeerCertificate | undefined {
  const shown = socket.getPeerCertificate();
  if (!shown || !shown.raw) return undefined;
  return {
    subject: { ...shown.subject as unknown as CertificateName },
    issuer: { ...shown.issuer as unknown as CertificateName },
    subjectAltName: shown.subjectaltname ?? "",
    serialNumber: shown.serialNumber,
    fingerprint256: shown.fingerprint256,
    validFrom: new Date(shown.valid_from),
    validTo: new Date(shown.valid_to),
    raw: new Uint8Array(shown.raw),
  };
}
