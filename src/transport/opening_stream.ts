import { promised } from "./stream_io.ts";
import type { Transport } from "./transport.ts";

/**
 * A stream while an opening handshake goes over it. The handshake may be ended from outside at any time, amid a loop of
 * reads or writes: nothing touches the stream after `leave`.
 */
export class OpeningStream implements Pick<Transport, "read" | "write" | "closeWrite"> {
  readonly #transport: Transport;
  #left = false;
  #reading: Promise<unknown> | null = null;

  /** @param transport The stream; whoever calls `leave` has to close it. */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Reads; a read that a stage of the handshake has left behind comes first, and what it brings is dropped. */
  async read(into: Uint8Array): Promise<number | null> {
    while (this.#reading !== null) await this.#reading;
    const reading = this.#use(() => this.#transport.read(into));
    this.#reading = reading.then(this.#settled, this.#settled);
    return await reading;
  }

  /** Writes some of `data`. */
  write(data: Uint8Array): Promise<number> {
    return this.#use(() => this.#transport.write(data));
  }

  /** Ends our direction. */
  closeWrite(): Promise<void> {
    return this.#use(() => this.#transport.closeWrite());
  }

  /** The handshake is over: from now on every call rejects. */
  leave(): void {
    this.#left = true;
  }

  #use<T>(call: () => Promise<T>): Promise<T> {
    return this.#left
      ? Promise.reject(new Deno.errors.BadResource("The stream is closed"))
      : promised(call);
  }

  readonly #settled = (): void => {
    this.#reading = null;
  };
}
