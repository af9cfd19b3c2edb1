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

  read(into: Uint8Array): Promise<number | null> {
    return this.#reading = this.#use(() => this.#transport.read(into));
  }

  /** Resolves when the last read has settled: a stage that was ended early may have left one, which gets the next bytes. */
  async settled(): Promise<void> {
    try {
      await this.#reading;
    } catch {
      // The next read fails as well.
    }
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
}

function closedError(): Error {
  return new Deno.errors.BadResource("The stream is closed");
}
