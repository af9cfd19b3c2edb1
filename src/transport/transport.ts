import type { PeerCertificate } from "./peer_certificate.ts";

/**
 * An open byte stream, as the engine sees it. A `Deno.Conn` is one as it is, so the common case costs no
 * adapter; every other kind of stream gets a small class with these members.
 *
 * The engine keeps at most one `read` and one `write` pending, never reads or writes after `close`, and calls
 * `close` exactly once.
 */
export interface Transport {
  /** Reads at most `into.length` bytes; resolves with their number, or `null` at the end of the stream. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes some of `data`; resolves with the number of bytes that the kernel has taken, at least 1, perhaps fewer. */
  write(data: Uint8Array): Promise<number>;
  /**
   * Writes what the kernel takes at once; returns the number of bytes, 0 if it has no room. A transport that has this
   * reports readiness: `write` is not called then, and `whenWritable` must be there as well. Throws if nothing can be
   * written any more.
   */
  tryWrite?(data: Uint8Array): number;
  /**
   * Calls `ready` once, in a later turn, when `tryWrite` would take bytes or throw, and even if it would have before.
   * Asked again before that, it calls the latest alone.
   */
  whenWritable?(ready: () => void): void;
  /**
   * Reads at once what is there; returns the number of bytes, `null` at the end of the stream, 0 if nothing is there yet.
   * A transport that has this reports readiness: no memory waits with a silent peer, and `whenReadable` must be there as
   * well. Throws if nothing can be read any more.
   */
  tryRead?(into: Uint8Array): number | null;
  /**
   * Calls `ready` once, in a later turn, when `tryRead` has something to say, be it the end of the stream or a failure,
   * and even if it had it before. Asked again before that, it calls the latest alone.
   */
  whenReadable?(ready: () => void): void;
  /** Ends our direction and leaves the other one open. */
  closeWrite(): Promise<void>;
  /** Ends both directions at once; pending reads and writes settle, and who waits to read is called (all are ignored). */
  close(): void;
  /**
   * Does what `close` does, and tells the peer that it isn't the orderly end of the stream. Missing where that can't be
   * told.
   */
  cut?(): void;
  /** Lets pending reads keep the process alive, which is the default. */
  ref?(): void;
  /** Lets the process end although a read is pending. */
  unref?(): void;
  /**
   * Bytes received below the stream that `read` gives, such as those of a TLS record that isn't complete; grows with
   * every one. Missing if what `read` gives says all.
   */
  readonly bytesReceived?: number;
  /** Bytes that the kernel has taken below, before `write` settles; missing if what `write` resolves with says all. */
  readonly bytesTaken?: number;
  /** Bytes that the kernel holds and the peer's kernel hasn't acknowledged; missing if that can't be seen. */
  readonly unacknowledgedBytes?: number;
  /** Our own address, if there is one. */
  readonly localAddr?: Deno.Addr | null;
  /** The address of the other end, if there is one. */
  readonly remoteAddr?: Deno.Addr | null;
  /** The certificate that the peer showed and that was verified, if it was asked for one. */
  readonly peerCertificate?: PeerCertificate;
}
