import type { PeerCertificate } from "./peer_certificate.ts";
import { closeQuietly, promised, setRef } from "./stream_io.ts";
import type { Transport } from "./transport.ts";

/** A transport with bytes in front that were read from it before, such as those after a proxy's answer. */
export class PrefixedTransport implements Transport {
  readonly tryWrite: Transport["tryWrite"];
  readonly whenWritable: Transport["whenWritable"];
  readonly #below: Transport;
  #prefix: Uint8Array | undefined;

  /**
   * @param prefix What `read` gives first.
   * @param below The transport; ours from now on.
   */
  constructor(prefix: Uint8Array, below: Transport) {
    this.#prefix = prefix.length > 0 ? prefix : undefined;
    this.#below = below;
    this.tryWrite = below.tryWrite?.bind(below);
    this.whenWritable = below.whenWritable?.bind(below);
  }

  get localAddr(): Deno.Addr | null | undefined {
    return this.#below.localAddr;
  }

  get remoteAddr(): Deno.Addr | null | undefined {
    return this.#below.remoteAddr;
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
    const prefix = this.#prefix;
    if (prefix === undefined) return promised(() => this.#below.read(into));
    const count = Math.min(prefix.length, into.length);
    into.set(prefix.subarray(0, count));
    this.#prefix = count === prefix.length ? undefined : prefix.subarray(count);
    return Promise.resolve(count);
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
