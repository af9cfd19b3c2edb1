import type { PeerCertificate } from "../transport/peer_certificate.ts";

/**
 * The peer that has sent a request.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export interface PeerInfo {
  /** The peer's address. */
  readonly remoteAddr: Deno.Addr;
  /** The local address that the peer has connected to. */
  readonly localAddr: Deno.Addr;
  /** The peer's certificate, if `tls.clientCaCerts` was given. */
  readonly peerCertificate?: PeerCertificate;
}

/**
 * Answers ordinary HTTP requests.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export type HttpHandler = (request: Request, info: PeerInfo) => Response | Promise<Response>;
