import type { TLSSocket } from "node:tls";

/**
 * A distinguished name such as `{ CN: "alice", O: "Example" }`. An attribute that occurs several times is a list.
 *
 * @see {@linkcode TlsAcceptorOptions}
 */
export type CertificateName = Readonly<Record<string, string | readonly string[]>>;

/**
 * The verified certificate of a TLS peer.
 *
 * @see {@linkcode TlsAcceptorOptions}
 */
export interface PeerCertificate {
  /** The name of the owner. */
  readonly subject: CertificateName;
  /** The name of the issuer that signed it. */
  readonly issuer: CertificateName;
  /** The alternative names, as OpenSSL prints them; `""` for none. */
  readonly subjectAltName: string;
  /** The serial number in hexadecimal. */
  readonly serialNumber: string;
  /** The SHA-256 fingerprint in upper-case hexadecimal, with colons. */
  readonly fingerprint256: string;
  /** The beginning of its validity. */
  readonly validFrom: Date;
  /** The end of its validity. */
  readonly validTo: Date;
  /** The certificate in DER. */
  readonly raw: Uint8Array;
}

/**
 * Reads the certificate of a TLS socket's peer.
 *
 * @param socket A socket whose handshake is complete.
 * @returns The certificate, or `undefined` if the peer has sent none.
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
