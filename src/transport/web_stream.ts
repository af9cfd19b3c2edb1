import { copyInto, WRITE_LIMIT } from "./stream_io.ts";
import type { Transport } from "./transport.ts";

/**
 * A pair of WHATWG streams that carry the two directions of a byte stream.
 *
 * @see {@linkcode Context.prototype.adopt}
 */
export interface StreamPair {
  /** What comes in. */
  readable: ReadableStream<Uint8Array>;
  /** What goes out. */
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

/** A `{ readable, writable }` pair as a transport: one chunk is read ahead at most, one write is in flight at most. */
export class WebStreamTransport implements Transport {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #rest: Uint8Array | undefined;
  #writing = false;
  #writeEnded = false;
  #closed = false;

  /**
   * @param pair The streams; ours from now on.
   * @throws {TypeError} If one of them is locked, and then both are left as they were.
   */
  constructor(pair: StreamPair) {
    const { readable, writable } = pair;
    if (readable.locked) throw new TypeError("Cannot take over a stream pair: readable is locked");
    if (writable.locked) throw new TypeError("Cannot take over a stream pair: writable is locked");
    this.#reader = readable.getReader();
    this.#writer = writable.getWriter();
    // Failures show in `read` and `write`.
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
      // An empty one isn't skipped: a source of nothing else would stop the event loop, and is for the reader to end.
      chunk = value;
    }
    this.#rest = copyInto(into, chunk);
    return Math.min(chunk.length, into.length);
  }

  async write(data: Uint8Array): Promise<number> {
    // A copy: the chunk may still be in some queue when the write has settled, and the caller's buffer is used again.
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
      // An abort would discard what the streams after it still have in their queues, such as the close frame.
      this.#writeEnded = true;
      this.#writer.close().catch(() => {});
    }
  }
}
