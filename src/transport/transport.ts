import type { PeerCertificate } from "./peer_certificate.ts";

/**
 * An open byte stream, as the engine sees it. A `Deno.Conn` has these members already, so it needs no adapter. Every other
 * kind of stream has a small class that implements them.
 *
 * The engine keeps at most one `read` and one `write` pending, never reads or writes after `close`, and calls
 * `close` exactly once.
 *
 * @see {@linkcode systemSockets}
 */
export interface Transport {
  /** Reads at most `into.length` bytes; resolves with their number, or `null` at the end of the stream. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes at least one byte of `data`; resolves with the number of bytes that the kernel has taken. */
  write(data: Uint8Array): Promise<number>;
  /**
   * Writes as many bytes as the kernel takes at once; returns their number, 0 if it has no room. Throws if nothing can be
   * written any more. A transport with this method reports readiness: it must have `whenWritable`, too, and the engine
   * doesn't call `write`.
   */
  tryWrite?(data: Uint8Array): number;
  /**
   * Whether `tryWrite` only borrows its bytes: once it has returned, nothing refers to them. Then what the kernel takes of a
   * large message at once isn't copied.
   */
  readonly borrows?: boolean;
  /**
   * Calls `ready` once, in a later turn, when `tryWrite` would take bytes or throw, even if that is so already. If it is
   * called again before that, only the latest `ready` is called.
   */
  whenWritable?(ready: () => void): void;
  /**
   * Reads the bytes that are available; returns their number, 0 if there are none yet, `null` at the end of the stream.
   * Throws if nothing can be read any more. A transport with this method reports readiness: it must have `whenReadable`,
   * too. After the handshake the engine doesn't call `read`, and needs no buffer for a silent peer.
   */
  tryRead?(into: Uint8Array): number | null;
  /**
   * Calls `ready` once, in a later turn, when `tryRead` would return bytes or the end of the stream, or throw, even if that is
   * so already. If it is called again before that, only the latest `ready` is called.
   */
  whenReadable?(ready: () => void): void;
  /** Ends our direction; the peer's stays open. */
  closeWrite(): Promise<void>;
  /** Ends both directions at once; pending reads and writes settle, and who waits to read is called (all are ignored). */
  close(): void;
  /**
   * Like `close`, but the peer notices that the end isn't orderly. Missing if the stream has no means for that.
   */
  cut?(): void;
  /** Lets a pending read keep the process alive, which is the default. */
  ref?(): void;
  /** Lets the process end although a read is pending. */
  unref?(): void;
  /**
   * Bytes received below this stream, including those that `read` doesn't return yet, such as those of an incomplete TLS
   * record. Missing if they are the same as the bytes of `read`.
   */
  readonly bytesReceived?: number;
  /** Bytes that the kernel has taken so far, even before `write` settles. Missing if only the result of `write` is known. */
  readonly bytesTaken?: number;
  /** Written bytes that the peer's kernel hasn't acknowledged. Missing if that isn't known. */
  readonly unacknowledgedBytes?: number;
  /** Whether it is one of many streams of a connection. Missing if the connection is its own. */
  readonly multiplexed?: boolean;
  /** The local address, if there is one. */
  readonly localAddr?: Deno.Addr | null;
  /** The peer's address, if there is one. */
  readonly remoteAddr?: Deno.Addr | null;
  /** The verified certificate of the peer, if it was requested. */
  readonly peerCertificate?: PeerCertificate;
}
