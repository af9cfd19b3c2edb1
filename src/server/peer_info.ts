import type { PeerCertificate } from "../transport/peer_certificate.ts";

/**
 * The peer on the other end of a request.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export interface PeerInfo {
  /** The peer's address. */
  readonly remoteAddr: Deno.Addr;
  /** The address that it has reached. */
  readonly localAddr: Deno.Addr;
  /** The certificate that the peer showed, with `tls.clientCaCerts`. */
  readonly peerCertificate?: PeerCertificate;
}

/**
 * Answers ordinary HTTP requests.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export type HttpHandler = (request: Request, info: PeerInfo) => Response | Promise<Response>;
