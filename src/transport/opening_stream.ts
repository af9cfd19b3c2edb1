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
    this.#check();
    return this.#reading = this.#transport.read(into);
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
    this.#check();
    return this.#transport.tryRead!(into);
  }

  /** Writes some of `data`. */
  write(data: Uint8Array): Promise<number> {
    this.#check();
    return this.#transport.write(data);
  }

  /** Ends our direction. */
  closeWrite(): Promise<void> {
    this.#check();
    return this.#transport.closeWrite();
  }

  /** The handshake is over: from now on every call throws. */
  leave(): void {
    this.#left = true;
  }

  #check(): void {
    if (this.#left) throw new Deno.errors.BadResource("The stream is closed");
  }
}
