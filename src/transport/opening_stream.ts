import { promised } from "./stream_io.ts";
import type { Transport } from "./transport.ts";

// The most empty reads in a row: an endless loop of them would stop the event loop.
const MOST_EMPTY_READS = 100;

/**
 * A stream during an opening handshake. The handshake may be ended from outside at any time, in the middle of a loop of
 * reads or writes: after `leave` the stream isn't used any more. Results of reads are checked, since the application may
 * have implemented the stream.
 */
export class OpeningStream implements Pick<Transport, "read" | "write" | "closeWrite"> {
  readonly #transport: Transport;
  #left = false;
  #reading: Promise<unknown> | null = null;
  #empty = 0; // empty reads in a row

  /** @param transport The stream; the caller of `leave` has to close it. */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Reads. A pending read of an earlier stage comes first, and its bytes are dropped. */
  async read(into: Uint8Array): Promise<number | null> {
    while (this.#reading !== null) await this.#reading;
    const reading = this.#use(() => this.#transport.read(into));
    this.#reading = reading.then(this.#settled, this.#settled);
    const count: unknown = await reading;
    if (count === null) return null;
    if (typeof count !== "number" || count >>> 0 !== count || count > into.length) {
      const given = typeof count === "number" ? count : `a value of type ${typeof count}`;
      throw new TypeError(
        `Cannot read from the stream: it gave ${given} when asked for ${into.length} bytes`,
      );
    }
    this.#empty = count === 0 ? this.#empty + 1 : 0;
    if (this.#empty > MOST_EMPTY_READS) {
      throw new TypeError(`Cannot read from the stream: ${MOST_EMPTY_READS} reads brought nothing`);
    }
    return count;
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
