import type { PeerCertificate } from "./peer_certificate.ts";
import { NOTHING } from "../util/bytes.ts";
import { closeQuietly, promised, setRef } from "./stream_io.ts";
import type { Transport } from "./transport.ts";

/**
 * A transport with a prefix: bytes that were read from it before, such as those after a proxy's answer, or that a pending
 * read will bring.
 */
export class PrefixedTransport implements Transport {
  readonly tryWrite: Transport["tryWrite"];
  readonly whenWritable: Transport["whenWritable"];
  readonly tryRead: Transport["tryRead"];
  readonly whenReadable: Transport["whenReadable"];
  readonly #below: Transport;
  /** The prefix; empty until it has come, `null` when it has been read. */
  #prefix: Uint8Array | null;
  /** The pending read that brings it; it never rejects. */
  #coming: Promise<void> | null = null;
  /** Whether that read has found the end of the stream. */
  #ended = false;

  /**
   * @param prefix The prefix, or a promise of a pending read's bytes: none at the end of the stream.
   * @param below The transport, which this object now owns.
   */
  constructor(prefix: Uint8Array | Promise<Uint8Array>, below: Transport) {
    this.#below = below;
    this.tryWrite = below.tryWrite?.bind(below);
    this.whenWritable = below.whenWritable?.bind(below);
    if (below.tryRead !== undefined) {
      this.tryRead = (into) => this.#tryRead(into);
      this.whenReadable = (ready) => this.#whenReadable(ready);
    }
    if (prefix instanceof Uint8Array) {
      this.#prefix = prefix.length > 0 ? prefix : null;
      return;
    }
    this.#prefix = NOTHING;
    this.#coming = prefix.then((bytes) => {
      this.#coming = null;
      this.#ended = bytes.length === 0;
      this.#prefix = this.#ended ? null : bytes;
    });
  }

  get localAddr(): Deno.Addr | null | undefined {
    return this.#below.localAddr;
  }

  get remoteAddr(): Deno.Addr | null | undefined {
    return this.#below.remoteAddr;
  }

  get borrows(): boolean | undefined {
    return this.#below.borrows;
  }

  get bytesReceived(): number | undefined {
    return this.#below.bytesReceived;
  }

  get bytesTaken(): number | undefined {
    return this.#below.bytesTaken;
  }

  get unacknowledgedBytes(): number | undefined {
    return this.#below.unacknowledgedBytes;
  }

  get peerCertificate(): PeerCertificate | undefined {
    return this.#below.peerCertificate;
  }

  read(into: Uint8Array): Promise<number | null> {
    if (this.#coming !== null) return this.#coming.then(() => this.read(into));
    if (this.#prefix !== null) return Promise.resolve(this.#take(this.#prefix, into));
    return this.#ended ? Promise.resolve(null) : promised(() => this.#below.read(into));
  }

  #tryRead(into: Uint8Array): number | null {
    if (this.#prefix !== null) return this.#take(this.#prefix, into);
    return this.#ended ? null : this.#below.tryRead!(into);
  }

  #whenReadable(ready: () => void): void {
    if (this.#coming !== null) this.#coming.then(ready);
    else if (this.#prefix !== null || this.#ended) queueMicrotask(ready);
    else this.#below.whenReadable!(ready);
  }

  #take(prefix: Uint8Array, into: Uint8Array): number {
    const count = Math.min(prefix.length, into.length);
    into.set(prefix.subarray(0, count));
    if (this.#coming === null) {
      this.#prefix = count === prefix.length ? null : prefix.subarray(count);
    }
    return count;
  }

  write(data: Uint8Array): Promise<number> {
    return promised(() => this.#below.write(data));
  }

  closeWrite(): Promise<void> {
    return promised(() => this.#below.closeWrite());
  }

  close(): void {
    closeQuietly(this.#below);
  }

  ref(): void {
    setRef(this.#below, true);
  }

  unref(): void {
    setRef(this.#below, false);
  }
}
