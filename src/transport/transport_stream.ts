import { Duplex } from "node:stream";
import { closeQuietly, readable, setRef, writeAll } from "./stream_io.ts";
import type { Transport } from "./transport.ts";

/** How much is read at once. */
const READ = 16 * 1024;
/**
 * How much may wait to be written until no more is read, and until streams have to wait: `node:http2` writes its answers
 * whether they are taken or not.
 */
const CONGESTED = 256 * 1024;
/** Of what waits to be written as much is joined into one write; larger pieces go out as they are. */
const JOINED = 64 * 1024;

type Done = (error?: Error | null) => void;

/**
 * A transport as a Node stream, for what works on those alone. It owns the transport: when it is destroyed, by its user
 * or since the transport has failed, that is closed.
 */
export class TransportStream extends Duplex {
  readonly #below: Transport;
  readonly #filter: { pass(bytes: Uint8Array): Uint8Array } | null;
  #reading = false;
  #waiting: (() => void)[] = [];

  /**
   * @param below The transport; ours from now on.
   * @param filter What is handed on of what is read.
   */
  constructor(below: Transport, filter: { pass(bytes: Uint8Array): Uint8Array } | null = null) {
    super({ allowHalfOpen: true });
    this.#below = below;
    this.#filter = filter;
  }

  /** Lets it keep the process alive. */
  ref(): this {
    setRef(this.#below, true);
    return this;
  }

  /** Lets the process end although it is open. */
  unref(): this {
    setRef(this.#below, false);
    return this;
  }

  /** Whether the peer doesn't take what is written as fast as it comes. */
  get congested(): boolean {
    return this.writableLength > CONGESTED;
  }

  /** Calls back when it may no longer be congested, or never will be written to again. */
  whenTaken(taken: () => void): void {
    this.#waiting.push(taken);
  }

  override _read(): void {
    if (this.#reading || this.destroyed) return;
    if (this.congested) return this.whenTaken(() => this._read());
    this.#reading = true;
    readNew(this.#below).then(
      (bytes) => {
        this.#reading = false;
        if (this.destroyed) return;
        if (bytes === null) return void this.push(null);
        const passed = this.#filter?.pass(bytes) ?? bytes;
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

/** Reads into memory of its own, made when there is something to read, if that can be told; `null` at the end. */
async function readNew(transport: Transport): Promise<Uint8Array | null> {
  for (;;) {
    if (transport.tryRead !== undefined) await readable(transport);
    const buffer = new Uint8Array(READ);
    const count = transport.tryRead === undefined
      ? await transport.read(buffer)
      : transport.tryRead(buffer);
    if (count === null) return null;
    if (count > 0 || transport.tryRead === undefined) return buffer.subarray(0, count);
  }
}
