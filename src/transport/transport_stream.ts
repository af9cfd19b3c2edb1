import { Duplex } from "node:stream";
import { acquire, type Buffer, LARGEST, release, SIZES } from "../memory/buffer_pool.ts";
import { ReadSize } from "../memory/read_size.ts";
import { Fifo } from "../util/fifo.ts";
import { LINGER } from "./linger.ts";
import { ReadCheck } from "./read_check.ts";
import { checkTaken, closeQuietly, readable, setRef } from "./stream_io.ts";
import type { Transport } from "./transport.ts";

/**
 * The most bytes that are pushed at once. `node:http2` answers pings within the call, and ends a session that has a thousand
 * unsent answers; this number of bytes contains fewer pings.
 */
const PORTION = 16 * 1024;
/**
 * If more bytes wait to be written, reading stops and streams have to wait: `node:http2` writes its answers even if the peer
 * doesn't read them.
 */
const CONGESTED = 256 * 1024;
/** Index of the size of the first block. */
const SMALLEST = 1;

/** The bytes of one write. */
interface Block {
  readonly buffer: Buffer;
  /** How much of it is filled. */
  end: number;
}

type Done = (error?: Error | null) => void;

/**
 * A transport as a Node stream, for `node:http2`. It owns the transport: when it is destroyed, by its user or because the
 * transport has failed, it closes the transport.
 */
export class TransportStream extends Duplex {
  readonly #below: Transport;
  readonly #filter: { pass(bytes: Uint8Array): Uint8Array } | null;
  readonly #reads = new ReadCheck();
  #reading = false;
  readonly #readSize = new ReadSize();
  readonly #blocks = new Fifo<Block>();
  /** The last block, if it has room. */
  #filling: Block | null = null;
  #size = SMALLEST - 1;
  /** Bytes that wait, and bytes that are being written. */
  #queued = 0;
  #writing = false;
  #written: Promise<void> = Promise.resolve();
  #waiting: (() => void)[] = [];
  #ending = false;
  #linger: ReturnType<typeof setTimeout> | undefined;

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
    return this.#queued > CONGESTED;
  }

  /** Calls back when the stream may not be congested any more, or is destroyed. */
  whenTaken(taken: () => void): void {
    this.#waiting.push(taken);
  }

  override _read(): void {
    if (this.#reading || this.destroyed) return;
    if (this.congested) return this.whenTaken(() => this._read());
    this.#reading = true;
    if (this.#below.tryRead === undefined) return this.#readBelow();
    // No buffer waits together with a silent peer.
    readable(this.#below).then(() => this.#readBelow(), (error) => this.destroy(error));
  }

  #readBelow(): void {
    if (this.destroyed) return;
    const buffer = acquire(this.#readSize.index);
    this.#below.read(buffer.target).then(
      (said) => this.#read(buffer, said),
    ).catch((error) => this.destroy(error));
  }

  #read(buffer: Buffer, said: unknown): void {
    this.#reading = false;
    if (this.destroyed) return;
    const count = this.#reads.check(said, buffer.target.length);
    if (count === null) return void this.push(null);
    this.#readSize.follow(count);
    const bytes = buffer.target.subarray(0, count), passed = this.#filter?.pass(bytes) ?? bytes;
    for (let at = 0; at < passed.length; at += PORTION) {
      this.push(passed.subarray(at, at + PORTION));
      if (this.destroyed) return;
    }
    // If some bytes weren't processed within the call, the stream still refers to the buffer.
    if (this.readableLength === 0) release(buffer);
    if (passed.length === 0) this._read();
  }

  override _write(chunk: Uint8Array, _encoding: string, done: Done): void {
    this.#pack(chunk);
    if (!this.#writing) this.#written = this.#writeOut();
    done();
  }

  /** Copies a chunk into a block. Each frame is a write of its own, and a small one has a buffer much larger than itself. */
  #pack(chunk: Uint8Array): void {
    this.#queued += chunk.length;
    for (let at = 0; at < chunk.length;) {
      const block = this.#filling ?? this.#addBlock(chunk.length - at);
      const { target } = block.buffer;
      const part = chunk.subarray(at, at + target.length - block.end);
      target.set(part, block.end);
      block.end += part.length;
      at += part.length;
      if (block.end === target.length) this.#filling = null;
    }
  }

  /** A block that holds `length` bytes, and is larger than the one before it. */
  #addBlock(length: number): Block {
    const least = Math.min(this.#size + 1, LARGEST);
    const fits = SIZES.findIndex((size, index) => index >= least && size >= length);
    this.#size = fits < 0 ? LARGEST : Math.min(fits, LARGEST);
    const block = this.#filling = { buffer: acquire(this.#size), end: 0 };
    this.#blocks.push(block);
    return block;
  }

  async #writeOut(): Promise<void> {
    this.#writing = true;
    // What is written in one turn goes out in one piece.
    await null;
    try {
      for (let block = this.#blocks.shift(); block !== undefined; block = this.#blocks.shift()) {
        if (block === this.#filling) this.#filling = null;
        const { target } = block.buffer;
        for (let at = 0; at < block.end;) {
          at += checkTaken(await this.#below.write(target.subarray(at, block.end)));
          if (this.#ending) this.#lingerOn();
        }
        release(block.buffer);
        this.#queued -= block.end;
        this.#wake();
      }
    } catch (error) {
      this.destroy(error as Error);
    }
    this.#size = SMALLEST - 1;
    this.#writing = false;
  }

  #wake(): void {
    if (this.#waiting.length === 0 || (this.congested && !this.destroyed)) return;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  override _final(done: Done): void {
    this.#ending = true;
    this.#lingerOn();
    this.#written.then(() => this.#below.closeWrite()).then(() => done(), done);
  }

  /** Restarts the time that the peer has. */
  #lingerOn(): void {
    clearTimeout(this.#linger);
    if (!this.destroyed) this.#linger = setTimeout(() => this.destroy(), LINGER);
  }

  override _destroy(error: Error | null, done: Done): void {
    clearTimeout(this.#linger);
    closeQuietly(this.#below);
    done(error);
    this.#wake();
  }
}
