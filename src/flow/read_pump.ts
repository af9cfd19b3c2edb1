import { type Yielding, yieldTurn } from "./turn_line.ts";
import { acquire, type Buffer, LARGEST, release, SIZES } from "../memory/buffer_pool.ts";
import type { Source } from "../protocol/frame_decoder.ts";
import type { Transport } from "../transport/transport.ts";

/** Takes received bytes, and says how many may come. */
export interface ReadSink {
  /** Bytes that may be read now: 0 stops reading, until `pull` is called. */
  readBudget(): number;
  /** Handles bytes; returns the position up to which it did, before `end` if it has to wait. */
  consume(source: Source, start: number, end: number): number;
  /** Memory of the sink's own that the next bytes belong into, or `null`. */
  directReadTarget(): Uint8Array | null;
  /** Handles bytes that were read into it. */
  consumedDirectly(count: number): void;
  /** The peer's direction has ended. */
  inputEnded(): void;
  /** The stream can't be read any more. */
  readFailed(error: unknown): void;
}

// Small reads in a row before a smaller buffer is used: sizes that alternate must not cost a read each.
const SMALL_READS_BEFORE_SHRINK = 4;
// Reads in a row that bring nothing before the stream is given up: a loop of them would stop the event loop.
const MOST_EMPTY_READS = 100;
// Bytes that are handled before others get their turn, or the same in frames; 30 to 60 µs, most of the time.
const QUANTUM = 64 * 1024;

/** A buffer that callbacks still look at. */
export interface Loan {
  readonly buffer: Buffer;
  /** How many of them. */
  holders: number;
}

/**
 * Reads from the transport, one read pending. The buffer of a pending read can't be taken back, so its size is what
 * a silent connection costs: it follows what the peer sends, down to a slot of 256 bytes. A stream that reports
 * readiness needs none while it is silent.
 *
 * The sink says by `readBudget` whether to read; with 0 the pump stops, and goes on at the next `pull`.
 *
 * A peer that sends faster than it is served always has the next read ready. Once a quantum is spent it is the turn of
 * others. A read that empties the socket begins a new one, since the next has to wait in any case.
 */
export class ReadPump implements Yielding {
  /** Bytes received. */
  bytes = 0;

  readonly #transport: Transport;
  readonly #sink: ReadSink;
  #buffer: Buffer | null = null;
  #from = 0;
  #to = 0; // bytes of the buffer that are still to be handled
  #asked = 0; // bytes that the read may bring
  #size = 0;
  #small = 0; // small reads in a row; below 0, empty ones
  #loan: Loan | null = null; // of the buffer at hand
  #direct = false; // the read goes into memory of the sink's
  #reading = false;
  #handling = false;
  #stopped = false;
  #spent = 0; // of the quantum
  #yielding = false;
  #stalled = 0;
  #stalledAt = -1; // since when nothing is read; -1 while something is
  readonly #onRead: (count?: unknown) => void;
  readonly #onError: (error: unknown) => void;

  constructor(transport: Transport, sink: ReadSink) {
    this.#transport = transport;
    this.#sink = sink;
    // A transport that reports readiness calls it without a count.
    this.#onRead = transport.tryRead === undefined
      ? (count) => this.#read(count)
      : () => this.#readable();
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

  /**
   * Goes on after the sink had said stop. Does nothing while a read is pending, bytes are handled, or others have their
   * turn.
   */
  pull(): void {
    if (this.#reading || this.#handling || this.#yielding || this.#stopped) return;
    if (this.#from < this.#to) this.#handle();
    if (this.#stopped) this.#release();
    else if (this.#spent >= QUANTUM) this.#yield();
    else if (this.#from === this.#to) this.#request();
    else this.#stall();
  }

  /** Stops for good. */
  stop(): void {
    this.#stopped = true;
    if (!this.#reading && !this.#handling) this.#release();
  }

  /**
   * Counts what has been handled besides bytes.
   *
   * @returns Whether handling has to stop, until the sink is asked to `consume` again.
   */
  spend(weight: number): boolean {
    this.#spent += weight;
    return this.#spent >= QUANTUM;
  }

  resume(): void {
    this.#yielding = false;
    this.#spent = 0;
    this.pull();
  }

  #yield(): void {
    this.#yielding = true;
    yieldTurn(this);
  }

  /** Lends the buffer that is being handled, until `release`: reading goes on with another one. */
  retain(): Loan {
    const loan = this.#loan ??= { buffer: this.#buffer!, holders: 0 };
    loan.holders++;
    return loan;
  }

  /** Takes back what `retain` has lent. */
  release(loan: Loan): void {
    if (--loan.holders > 0) return;
    if (loan === this.#loan) this.#loan = null;
    else release(loan.buffer);
  }

  /** A stream that reports readiness has something to say. It is read once, so that others get their turn. */
  #readable(): void {
    // A notice may come unasked.
    if (!this.#reading) return;
    this.#reading = false;
    if (this.#stopped) return;
    const target = this.#target();
    if (target === null) return;
    let count: unknown;
    try {
      count = this.#transport.tryRead!(target);
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (count !== 0) this.#took(count);
    if (this.#stopped) this.#release();
    else this.pull();
  }

  #handle(): void {
    const end = this.#to;
    this.#handling = true;
    try {
      this.#from = this.#sink.consume(this.#buffer!, this.#from, end);
    } catch (error) {
      // Not to be handled again.
      this.#from = end;
      this.#failed(error);
    } finally {
      this.#handling = false;
    }
  }

  #request(): void {
    const transport = this.#transport;
    try {
      if (transport.tryRead !== undefined) {
        if (this.#sink.readBudget() <= 0) return this.#stopReading();
        this.#goOn();
        // Nothing is pending below, so no buffer waits.
        this.#release();
        this.#reading = true;
        transport.whenReadable!(this.#onRead);
        return;
      }
      const target = this.#target();
      if (target === null) return;
      this.#reading = true;
      const read: unknown = transport.read(target);
      // A foreign stream may return anything.
      (read instanceof Promise ? read : Promise.resolve(read)).then(this.#onRead, this.#onError);
    } catch (error) {
      // As if it had been rejected, not within the call that made us read.
      this.#reading = true;
      Promise.reject(error).catch(this.#onError);
    }
  }

  /** Where the next read goes; `null` if there is to be none. */
  #target(): Uint8Array | null {
    const budget = this.#sink.readBudget();
    if (budget <= 0) {
      this.#stopReading();
      return null;
    }
    this.#goOn();
    const direct = budget === Infinity ? this.#sink.directReadTarget() : null;
    this.#direct = direct !== null;
    if (direct !== null) {
      this.#release();
      this.#asked = direct.length;
      return direct;
    }
    let buffer = this.#buffer;
    if (buffer === null || this.#loan !== null || buffer.size !== this.#size) {
      this.#release();
      buffer = this.#buffer = acquire(this.#size);
    }
    const { target } = buffer;
    this.#asked = Math.min(budget, target.length);
    return this.#asked < target.length ? target.subarray(0, this.#asked) : target;
  }

  #stopReading(): void {
    // Nothing is pending, so the buffer needn't stay.
    this.#release();
    this.#stall();
  }

  #stall(): void {
    if (this.#stalledAt < 0) this.#stalledAt = performance.now();
  }

  #goOn(): void {
    if (this.#stalledAt < 0) return;
    this.#stalled += performance.now() - this.#stalledAt;
    this.#stalledAt = -1;
  }

  #read(count: unknown): void {
    // A foreign promise may settle twice.
    if (!this.#reading) return;
    this.#reading = false;
    if (this.#stopped) {
      this.#release();
      return;
    }
    this.#took(count);
    this.pull();
  }

  /** What a read has brought. */
  #took(count: unknown): void {
    if (count === null) {
      this.#stopped = true;
      this.#release();
      this.#sink.inputEnded();
      return;
    }
    const asked = this.#asked;
    if (typeof count !== "number" || count >>> 0 !== count || count > asked) {
      const given = typeof count === "number" ? count : `a value of type ${typeof count}`;
      this.#failed(
        new TypeError(
          `Cannot read from the stream: it gave ${given} when asked for ${asked} bytes`,
        ),
      );
      return;
    }
    if (count === 0) {
      this.#small = Math.min(0, this.#small) - 1;
      if (this.#small < -MOST_EMPTY_READS) {
        this.#failed(
          new TypeError(`Cannot read from the stream: ${MOST_EMPTY_READS} reads brought nothing`),
        );
      }
      return;
    }
    this.bytes += count;
    this.#spent = count < asked ? 0 : this.#spent + count;
    if (this.#direct) {
      this.#handling = true;
      try {
        this.#sink.consumedDirectly(count);
      } catch (error) {
        this.#failed(error);
      } finally {
        this.#handling = false;
      }
    } else {
      this.#resize(count);
      this.#from = this.#buffer!.start;
      this.#to = this.#from + count;
    }
  }

  #failed(error: unknown): void {
    this.#reading = false;
    const stopped = this.#stopped;
    this.#stopped = true;
    if (!this.#handling) this.#release();
    if (!stopped) this.#sink.readFailed(error);
  }

  #resize(count: number): void {
    if (this.#small < 0) this.#small = 0;
    // A read that we have cut short says nothing of what the peer sends.
    if (this.#asked < SIZES[this.#size]) return;
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
    if (this.#buffer !== null && this.#loan === null) release(this.#buffer);
    this.#buffer = null;
    this.#loan = null;
    this.#from = this.#to = 0;
  }
}
