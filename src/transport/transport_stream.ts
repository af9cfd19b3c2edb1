import { Duplex } from "node:stream";
import { closeQuietly, setRef, writeAll } from "./stream_io.ts";
import type { Transport } from "./transport.ts";

/** Bytes that are read at once. */
const READ = 16 * 1024;
/**
 * If more bytes wait to be written, reading stops and streams have to wait: `node:http2` writes its answers even if the peer
 * doesn't read them.
 */
const CONGESTED = 256 * 1024;
/** Waiting pieces are joined to writes of at most this length; larger pieces are written without a copy. */
const JOINED = 64 * 1024;

type Done = (error?: Error | null) => void;

/**
 * A transport as a Node stream, for `node:http2`. It owns the transport: when it is destroyed, by its user or because the
 * transport has failed, it closes the transport.
 */
export class TransportStream extends Duplex {
  readonly #below: Transport;
  readonly #filter: { pass(bytes: Uint8Array): Uint8Array } | null;
  #reading = false;
  #waiting: (() => void)[] = [];

  /**
   * @param below The transport, which this object now owns.
   * @param filter Returns the bytes to pass on for those that were read.
   */
  constructor(below: Transport, filter: { pass(bytes: Uint8Array): Uint8Array } | null = null) {
    super({ allowHalfOpen: true });
    this.#below = below;
    this.#filter = filter;
  }

  /** Lets the stream keep the process alive. */
  ref(): this {
    setRef(this.#below, true);
    return this;
  }

  /** Lets the process end although the stream is open. */
  unref(): this {
    setRef(this.#below, false);
    return this;
  }

  /** Whether the peer reads too slowly, so that too many bytes wait to be written. */
  get congested(): boolean {
    return this.writableLength > CONGESTED;
  }

  /** Calls back when the stream may not be congested any more, or is destroyed. */
  whenTaken(taken: () => void): void {
    this.#waiting.push(taken);
  }

  override _read(): void {
    if (this.#reading || this.destroyed) return;
    if (this.congested) return this.whenTaken(() => this._read());
    this.#reading = true;
    const buffer = new Uint8Array(READ);
    this.#below.read(buffer).then(
      (count) => {
        this.#reading = false;
        if (this.destroyed) return;
        if (count === null) return void this.push(null);
        const bytes = buffer.subarray(0, count), passed = this.#filter?.pass(bytes) ?? bytes;
        if (passed.length > 0) this.push(passed);
        else this._read();
      },
      (error) => this.destroy(error),
    );
  }

  override _write(chunk: Uint8Array, _encoding: string, done: Done): void {
    this.#settle(writeAll(this.#below, chunk), done);
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: Done): void {
    this.#settle(this.#writeMany(chunks), done);
  }

  #settle(written: Promise<void>, done: Done): void {
    written.then(() => {
      done();
      this.#wake();
    }, done);
  }

  #wake(): void {
    if (this.#waiting.length === 0 || (this.congested && !this.destroyed)) return;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async #writeMany(chunks: { chunk: Uint8Array }[]): Promise<void> {
    for (let at = 0; at < chunks.length;) {
      let end = at + 1, length = chunks[at].chunk.length;
      while (end < chunks.length && length + chunks[end].chunk.length <= JOINED) {
        length += chunks[end++].chunk.length;
      }
      if (end === at + 1) {
        await writeAll(this.#below, chunks[at].chunk);
      } else {
        const joined = new Uint8Array(length);
        let filled = 0;
        for (const { chunk } of chunks.slice(at, end)) {
          joined.set(chunk, filled);
          filled += chunk.length;
        }
        await writeAll(this.#below, joined);
      }
      at = end;
    }
  }

  override _final(done: Done): void {
    this.#below.closeWrite().then(() => done(), done);
  }

  override _destroy(error: Error | null, done: Done): void {
    closeQuietly(this.#below);
    done(error);
    this.#wake();
  }
}
