import { promised } from "./stream_io.ts";
import type { Transport } from "./transport.ts";

// Reads in a row that bring nothing before the stream is given up: a loop of them would stop the event loop.
const MOST_EMPTY_READS = 100;

/**
 * A stream while an opening handshake goes over it. The handshake may be ended from outside at any time, amid a loop of
 * reads or writes: nothing touches the stream after `leave`. And what reads say is checked, since it may be a stream of
 * the application's.
 */
export class OpeningStream
  implements Pick<Transport, "read" | "tryRead" | "whenReadable" | "write" | "closeWrite"> {
  readonly tryRead: Transport["tryRead"];
  readonly whenReadable: Transport["whenReadable"];
  readonly #transport: Transport;
  #left = false;
  #reading: Promise<unknown> | null = null;
  #empty = 0; // reads in a row that brought nothing

  /** @param transport The stream; whoever calls `leave` has to close it. */
  constructor(transport: Transport) {
    this.#transport = transport;
    if (transport.tryRead !== undefined) {
      this.tryRead = (into) => this.#tryRead(into);
      this.whenReadable = (ready) => transport.whenReadable!(ready);
    }
  }

  /** Reads; a read that a stage of the handshake has left behind comes first, and what it brings is dropped. */
  async read(into: Uint8Array): Promise<number | null> {
    while (this.#reading !== null) await this.#reading;
    const reading = this.#use(() => this.#transport.read(into));
    this.#reading = reading.then(this.#settled, this.#settled);
    const count = checkCount(await reading, into);
    if (count === null) return null;
    this.#empty = count === 0 ? this.#empty + 1 : 0;
    if (this.#empty > MOST_EMPTY_READS) {
      throw new TypeError(`Cannot read from the stream: ${MOST_EMPTY_READS} reads brought nothing`);
    }
    return count;
  }

  #tryRead(into: Uint8Array): number | null {
    if (this.#left) throw closedError();
    return checkCount(this.#transport.tryRead!(into), into);
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

function checkCount(count: unknown, into: Uint8Array): number | null {
  if (
    count === null || (typeof count === "number" && count >>> 0 === count && count <= into.length)
  ) {
    return count;
  }
  const given = typeof count === "number" ? count : `a value of type ${typeof count}`;
  throw new TypeError(
    `Cannot read from the stream: it gave ${given} when asked for ${into.length} bytes`,
  );
}

function closedError(): Error {
  return new Deno.errors.BadResource("The stream is closed");
}
