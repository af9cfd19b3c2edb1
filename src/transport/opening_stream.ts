import { promised } from "./stream_io.ts";
import type { Transport } from "./transport.ts";

/**
 * A stream during an opening handshake. The handshake may be ended from outside at any time, in the middle of a loop of
 * reads or writes: after `leave` the stream isn't used any more.
 */
export class OpeningStream
  implements Pick<Transport, "read" | "tryRead" | "whenReadable" | "write" | "closeWrite"> {
  readonly tryRead: Transport["tryRead"];
  readonly whenReadable: Transport["whenReadable"];
  readonly #transport: Transport;
  #left = false;
  #reading: Promise<unknown> | null = null;

  /** @param transport The stream; the caller of `leave` has to close it. */
  constructor(transport: Transport) {
    this.#transport = transport;
    if (transport.tryRead !== undefined) {
      this.tryRead = (into) => this.#tryRead(into);
      this.whenReadable = (ready) => transport.whenReadable!(ready);
    }
  }

  /** Reads. A pending read of an earlier stage comes first, and its bytes are dropped. */
  async read(into: Uint8Array): Promise<number | null> {
    while (this.#reading !== null) await this.#reading;
    const reading = this.#use(() => this.#transport.read(into));
    this.#reading = reading.then(this.#settled, this.#settled);
    return await reading;
  }

  #tryRead(into: Uint8Array): number | null {
    if (this.#left) throw closedError();
    return this.#transport.tryRead!(into);
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
    return this.#left ? Promise.reject(closedError()) : promised(call);
  }

  readonly #settled = (): void => {
    this.#reading = null;
  };
}

function closedError(): Error {
  return new Deno.errors.BadResource("The stream is closed");
}
