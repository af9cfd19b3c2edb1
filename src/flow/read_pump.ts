import type { Source } from "../protocol/frame_decoder.ts";
import type { Transport } from "../transport/transport.ts";
import { acquire, type Buffer, LARGEST, release, SIZES } from "../memory/buffer_pool.ts";

/** Where received bytes go, and who says how many may come. */
export interface ReadSink {
  /** Bytes that may be read now: 0 stops reading, until `pull` is called. */
  readBudget(): number;
  /** Handles bytes; returns the position up to which it did, before `end` where it has to wait. */
  consume(source: Source, start: number, end: number): number;
  /** Memory of the sink's own that the next bytes belong into, or `null`. */
  directReadTarget(): Uint8Array | null;
  /** Handles bytes that were read into it. */
  consumedDirectly(count: number): void;
  /** The peer's direction has ended. */
  ended(): void;
  /** The stream can't be read any more. */
  readFailed(error: unknown): void;
}

// Small reads in a row before a smaller buffer is used: sizes that alternate must not cost a read each.
const SMALL_READS_BEFORE_SHRINK = 4;

/**
 * Reads from the transport, one read pending. The buffer of a pending read can't be taken back, so its size is what
 * a silent connection costs: it follows what the peer sends, down to a slot of 256 bytes.
 */
export class ReadPump {
  /** Reads that have brought something: a sign of life. */
  reads = 0;
  /** Bytes received. */
  bytes = 0;

  readonly #transport: Transport;
  readonly #sink: ReadSink;
  #buffer: Buffer | null = null;
  #from = 0;
  #to = 0; // bytes of the buffer that are still to be handled
  #size = 0;
  #small = 0;
  #lent = false;
  #landing = false; // the pending read goes into memory of the sink's
  #reading = false;
  #handling = false;
  #stopped = false;
  #stalled = 0;
  #stalledAt = -1; // since when nothing is read; -1 while something is
  readonly #onRead: (count: number | null) => void;
  readonly #onError: (error: unknown) => void;

  constructor(transport: Transport, sink: ReadSink) {
    this.#transport = transport;
    this.#sink = sink;
    this.#onRead = (count) => this.#read(count);
    this.#onError = (error) => this.#failed(error);
  }

  /** Whether a read is pending. */
  get reading(): boolean {
    return this.#reading;
  }

  /** How long reading has been stopped altogether, in ms. */
  get stalled(): number {
    return this.#stalled + (this.#stalledAt < 0 ? 0 : performance.now() - this.#stalledAt);
  }

  /** Whether the stream may bring more. */
  get open(): boolean {
    return !this.#stopped;
  }

  /** Hands over bytes that were read before the pump was there; they are handled by the next `pull`. */
  prepend(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#buffer = { bytes, view, target: bytes, start: 0, size: -1 };
    this.#from = 0;
    this.#to = bytes.length;
  }

  /** Goes on where `wanted` or `received` said stop. Does nothing while a read is pending or bytes are handled. */
  pull(): void {
    if (this.#reading || this.#handling || this.#stopped) return;
    if (this.#from < this.#to) {
      this.#handling = true;
      this.#from = this.#sink.consume(this.#buffer!, this.#from, this.#to);
      this.#handling = false;
    }
    if (this.#stopped) this.#release();
    else if (this.#from === this.#to) this.#request();
    else this.#stall();
  }

  /** Stops for good. */
  stop(): void {
    this.#stopped = true;
    if (!this.#reading && !this.#handling) this.#release();
  }

  /** Lends the buffer that is being handled, until `giveBack`: reading goes on with another one. */
  retain(): Source {
    this.#lent = true;
    return this.#buffer!;
  }

  /** Takes a lent buffer back. */
  release(source: Source): void {
    if (source === this.#buffer) this.#lent = false;
    else release(source as Buffer);
  }

  #request(): void {
    const wanted = this.#sink.readBudget();
    if (wanted <= 0) {
      // Nothing is pending, so the buffer needn't stay.
      this.#release();
      this.#stall();
      return;
    }
    if (this.#stalledAt >= 0) {
      this.#stalled += performance.now() - this.#stalledAt;
      this.#stalledAt = -1;
    }
    const landing = wanted === Infinity ? this.#sink.directReadTarget() : null;
    if (landing !== null) {
      this.#release();
      this.#landing = true;
      this.#reading = true;
      this.#transport.read(landing).then(this.#onRead, this.#onError);
      return;
    }
    let buffer = this.#buffer;
    if (buffer === null || this.#lent || buffer.size !== this.#size) {
      if (buffer !== null && !this.#lent) release(buffer);
      this.#lent = false;
      buffer = this.#buffer = acquire(this.#size);
    }
    const target = buffer.target;
    this.#reading = true;
    this.#transport.read(wanted < target.length ? target.subarray(0, wanted) : target)
      .then(this.#onRead, this.#onError);
  }

  #stall(): void {
    if (this.#stalledAt < 0) this.#stalledAt = performance.now();
  }

  #read(count: number | null): void {
    this.#reading = false;
    if (this.#stopped) {
      this.#release();
      return;
    }
    if (count === null) {
      this.#stopped = true;
      this.#release();
      this.#sink.ended();
      return;
    }
    this.reads++;
    this.bytes += count;
    if (this.#landing) {
      this.#landing = false;
      this.#handling = true;
      this.#sink.consumedDirectly(count);
      this.#handling = false;
    } else {
      this.#resize(count);
      this.#from = this.#buffer!.start;
      this.#to = this.#from + count;
    }
    this.pull();
  }

  #failed(error: unknown): void {
    this.#reading = false;
    const stopped = this.#stopped;
    this.#stopped = true;
    this.#release();
    if (!stopped) this.#sink.readFailed(error);
  }

  #resize(count: number): void {
    if (count === SIZES[this.#size]) {
      if (this.#size < LARGEST) this.#size++;
      this.#small = 0;
    } else if (this.#size > 0 && count <= SIZES[this.#size - 1]) {
      if (++this.#small === SMALL_READS_BEFORE_SHRINK) {
        this.#size--;
        this.#small = 0;
      }
    } else {
      this.#small = 0;
    }
  }

  #release(): void {
    if (this.#buffer !== null && !this.#lent) release(this.#buffer);
    this.#buffer = null;
    this.#lent = false;
    this.#from = this.#to = 0;
  }
}
