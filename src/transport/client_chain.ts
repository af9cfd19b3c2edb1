import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";

// Longer chains than this aren't followed; real ones have two or three certificates.
const LONGEST_CHAIN = 10;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** The certificates in PEM texts, each of which may have several. */
export function readAuthorities(pems: readonly string[]): X509Certificate[] {
  return pems.flatMap((pem) => pem.match(CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem));
}

/**
 * Whether a client's certificate leads to one of some authorities by signatures that hold today. For sessions that are
 * resumed: the chain was verified when the session began, but against which authorities? The tickets of Deno's TLS are
 * the process's, so a session may come from a listener that trusts other authorities, or from before `setTls` replaced
 * them.
 *
 * @param socket A socket whose handshake is complete.
 * @param authorities Those that are trusted now.
 */
export function isSignedBy(socket: TLSSocket, authorities: readonly X509Certificate[]): boolean {
  const [leaf, ...between] = shownChain(socket);
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

/** The certificate that the client showed, and those that it sent along. */
function shownChain(socket: TLSSocket): X509Certificate[] {
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
