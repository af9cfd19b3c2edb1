import type { Http2Session } from "node:http2";
import { setImmediate } from "node:timers";
import { GoawayFilter, type OnGoaway } from "./http2_filter.ts";
import type { Http2Carrier } from "./http2_stream.ts";
import type { PeerCertificate } from "./peer_certificate.ts";
import type { Transport } from "./transport.ts";
import { TransportStream } from "./transport_stream.ts";

/**
 * The flow-control window of the connection (RFC 9113 6.9.1): as large as the 64 KiB windows of all its streams together,
 * which bound the memory. If it were smaller, streams with low numbers would use it up: nghttp2 sends in the order of the
 * stream numbers.
 */
const WINDOW = 16 * 1024 * 1024;

/** The connection below the streams of HTTP/2. */
export class Http2Link implements Http2Carrier {
  readonly localAddr: Deno.Addr | null;
  readonly remoteAddr: Deno.Addr | null;
  readonly peerCertificate: PeerCertificate | undefined;
  /** The connection as the `Duplex` that `node:http2` requires. */
  readonly side: TransportStream;
  /** Resolves when the connection is closed. */
  readonly ended: Promise<void>;
  /** The error code of the peer's GOAWAY; `null` if none was received. */
  goaway: number | null = null;
  #streams = 0;
  #holds = 0;

  /**
   * @param transport The connection, owned by this object from now on.
   * @param role The local role.
   * @param onGoaway Called for each GOAWAY.
   */
  constructor(transport: Transport, role: "client" | "server", onGoaway: OnGoaway = () => {}) {
    const { localAddr, remoteAddr, peerCertificate } = transport;
    this.localAddr = localAddr ?? null;
    this.remoteAddr = remoteAddr ?? null;
    this.peerCertificate = peerCertificate;
    const side = this.side = new TransportStream(
      transport,
      new GoawayFilter(role, (lastStream, code) => {
        this.goaway = code;
        onGoaway(lastStream, code);
      }),
    );
    side.on("error", () => {});
    // HTTP/2 doesn't work over a half-closed connection. The bytes before the end are processed first. `node:http2` ends
    // the local direction after the last stream, but if that stream was reset, it waits for the peer to end its own.
    for (const direction of ["end", "finish"]) {
      side.once(direction, () => setImmediate(() => side.destroy()));
    }
    this.ended = new Promise((resolve) => side.once("close", () => resolve()));
  }

  /** Opens the window of a session over this connection, and ends the connection with the session. */
  open(session: Http2Session): void {
    session.once("close", () => {
      if (!this.side.destroyed) this.side.end();
    });
    session.once("connect", () => {
      if (!session.destroyed) session.setLocalWindowSize(WINDOW);
    });
  }

  get lost(): boolean {
    return this.side.destroyed;
  }

  /** The number of open streams. */
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
