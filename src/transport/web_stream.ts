import { copyInto, WRITE_LIMIT } from "./stream_io.ts";
import type { Transport } from "./transport.ts";

/**
 * A pair of WHATWG streams for the two directions of a byte stream.
 *
 * @see {@linkcode Context.prototype.adopt}
 */
export interface StreamPair {
  /** The incoming bytes. */
  readable: ReadableStream<Uint8Array>;
  /** The outgoing bytes. */
  writable: WritableStream<Uint8Array>;
}

/**
 * Says whether a value is a pair of WHATWG streams.
 *
 * @param value Anything.
 * @returns Whether it has a `readable` and a `writable`.
 */
export function isStreamPair(value: unknown): value is StreamPair {
  const pair = value as Partial<StreamPair> | null;
  return typeof pair === "object" && pair !== null &&
    pair.readable instanceof ReadableStream && pair.writable instanceof WritableStream;
}

/** A `{ readable, writable }` pair as a transport: at most one chunk is read ahead, and one write is in flight. */
export class WebStreamTransport implements Transport {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #rest: Uint8Array | undefined;
  #writing = false;
  #writeEnded = false;
  #closed = false;

  /**
   * @param pair The streams, which this object now owns.
   * @throws {TypeError} If one of them is locked. Both are then unchanged.
   */
  constructor(pair: StreamPair) {
    const { readable, writable } = pair;
    if (readable.locked) throw new TypeError("Cannot take over a stream pair: readable is locked");
    if (writable.locked) throw new TypeError("Cannot take over a stream pair: writable is locked");
    this.#reader = readable.getReader();
    this.#writer = writable.getWriter();
    // Failures reject `read` and `write`.
    this.#reader.closed.catch(() => {});
    this.#writer.closed.catch(() => {});
    this.#writer.ready.catch(() => {});
  }

  async read(into: Uint8Array): Promise<number | null> {
    let chunk = this.#rest;
    if (chunk === undefined) {
      const { done, value } = await this.#reader.read();
      if (done) return null;
      if (!(value instanceof Uint8Array)) {
        throw new TypeError(
          `Cannot read from a stream pair: a chunk is ${typeof value}, not bytes`,
        );
      }
      // An empty chunk isn't skipped, so that the reader can end a source of only empty chunks.
      chunk = value;
    }
    this.#rest = copyInto(into, chunk);
    return Math.min(chunk.length, into.length);
  }

  async write(data: Uint8Array): Promise<number> {
    // A copy: the caller reuses its buffer, and the chunk may still be in a queue when the write has settled.
    const piece = data.slice(0, WRITE_LIMIT);
    this.#writing = true;
    try {
      await this.#writer.write(piece);
    } finally {
      this.#writing = false;
    }
    return piece.length;
  }

  async closeWrite(): Promise<void> {
    if (this.#writeEnded) return;
    this.#writeEnded = true;
    await this.#writer.close().catch(() => {});
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const reason = new Deno.errors.BadResource("The stream is closed");
    this.#reader.cancel(reason).catch(() => {});
    if (this.#writing) this.#writer.abort(reason).catch(() => {});
    else if (!this.#writeEnded) {
      // An abort would drop chunks in the queues of later streams, such as the close frame.
      this.#writeEnded = true;
      this.#writer.close().catch(() => {});
    }
  }
}
