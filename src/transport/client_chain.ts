import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";

// The longest chain that is followed; real ones have two or three certificates.
const LONGEST_CHAIN = 10;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** Reads the certificates in PEM texts, each of which may contain several. */
export function readAuthorities(pems: readonly string[]): X509Certificate[] {
  return pems.flatMap((pem) => pem.match(CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem));
}

/**
 * Says whether a client's certificate leads to one of some authorities by valid signatures. It is for resumed sessions: the
 * chain was verified when the session began, but perhaps against other authorities. The tickets of Deno's TLS apply to the
 * whole process, so a session may come from another listener, or from before `setTls` replaced the authorities.
 *
 * @param socket A socket whose handshake is complete.
 * @param authorities The authorities that are trusted now.
 */
export function isSignedBy(socket: TLSSocket, authorities: readonly X509Certificate[]): boolean {
  const [leaf, ...between] = presentedChain(socket);
  let certificate = leaf;
  for (let i = 0; i < LONGEST_CHAIN && certificate !== undefined; i++) {
    const { raw } = certificate;
    if (!isValidNow(certificate)) return false;
    if (authorities.some((authority) => authority.raw.equals(raw))) return true;
    const signer = authorities.find((authority) => hasSigned(authority, certificate));
    if (signer !== undefined) return isValidNow(signer);
    certificate = between.find((other) => !other.raw.equals(raw) && hasSigned(other, certificate))!;
  }
  return false;
}

/** The certificate of the client, and the others that it sent. */
function presentedChain(socket: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let shown = socket.getPeerCertificate(true);
  while (chain.length < LONGEST_CHAIN && shown?.raw !== undefined) {
    chain.push(new X509Certificate(shown.raw));
    if (shown.issuerCertificate === shown) break;
    shown = shown.issuerCertificate;
  }
  return chain;
}

function hasSigned(authority: X509Certificate, certificate: X509Certificate): boolean {
  return authority.ca && certificate.checkIssued(authority) &&
    certificate.verify(authority.publicKey);
}

function isValidNow({ validFrom, validTo }: X509Certificate): boolean {
  const now = Date.now();
  return Date.parse(validFrom) <= now && now <= Date.parse(validTo);
}
