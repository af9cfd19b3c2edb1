import type { Http2Session } from "node:http2";
import { setImmediate } from "node:timers";
import { GoawayFilter } from "./http2_filter.ts";
import type { Http2Carrier } from "./http2_stream.ts";
import type { PeerCertificate } from "./peer_certificate.ts";
import type { Transport } from "./transport.ts";
import { TransportStream } from "./transport_stream.ts";

/**
 * What may come on a connection until we say that more may: as much as on all of its streams, whose windows of 64 KiB
 * bound the memory. Were it less, it would go to the first of them: a peer on nghttp2 sends by their numbers.
 */
const WINDOW = 16 * 1024 * 1024;

/** The connection below the streams of HTTP/2. */
export class Http2Link implements Http2Carrier {
  readonly localAddr: Deno.Addr | null;
  readonly remoteAddr: Deno.Addr | null;
  readonly peerCertificate: PeerCertificate | undefined;
  /** The connection, as `node:http2` takes it. */
  readonly side: TransportStream;
  /** Resolves when it is closed. */
  readonly ended: Promise<void>;
  #streams = 0;
  #holds = 0;

  /**
   * @param transport The connection; ours from now on.
   * @param role Which end we are.
   */
  constructor(transport: Transport, role: "client" | "server") {
    const { localAddr, remoteAddr, peerCertificate } = transport;
    this.localAddr = localAddr ?? null;
    this.remoteAddr = remoteAddr ?? null;
    this.peerCertificate = peerCertificate;
    const side = this.side = new TransportStream(
      transport,
      role === "server" ? new GoawayFilter() : null,
    );
    side.on("error", () => {});
    // Without its other direction nothing of the protocol works. What has come before is looked at first.
    side.once("end", () => setImmediate(() => side.destroy()));
    this.ended = new Promise((resolve) => side.once("close", () => resolve()));
  }

  /** Opens the window of a session that is made over it. */
  open(session: Http2Session): void {
    session.once("connect", () => {
      if (!session.destroyed) session.setLocalWindowSize(WINDOW);
    });
  }

  /** Streams that are open. */
  get streams(): number {
    return this.#streams;
  }

  get congested(): boolean {
    return this.side.congested;
  }

  whenTaken(taken: () => void): void {
    this.side.whenTaken(taken);
  }

  count(streams: number, holds: number): void {
    this.#streams += streams;
    this.#holds += holds;
    if (this.#streams > 0 && this.#holds === 0) this.side.unref();
    else this.side.ref();
  }
}
