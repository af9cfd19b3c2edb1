import { type Yielding, yieldTurn } from "./turn_line.ts";
import { acquire, type Buffer, release, SIZES } from "../memory/buffer_pool.ts";
import { ReadSize } from "../memory/read_size.ts";
import type { Source } from "../protocol/source.ts";
import { ReadCheck } from "../transport/read_check.ts";
import type { Transport } from "../transport/transport.ts";

/** Handles received bytes, and says how many may be read. */
export interface ReadSink {
  /** Bytes that may be read now: 0 stops reading, until `pull` is called. */
  readBudget(): number;
  /** Handles bytes; returns the position of the first unhandled byte, which is before `end` if the sink has to wait. */
  consume(source: Source, start: number, end: number): number;
  /** The sink's own memory that the next bytes are to be read into, or `null`. */
  directReadTarget(): Uint8Array | null;
  /** Handles bytes that were read into that memory. */
  consumedDirectly(count: number): void;
  /** The peer's direction has ended. */
  inputEnded(): void;
  /** The stream can't be read any more. */
  readFailed(error: unknown): void;
}

// Bytes, or frames of the same cost, that are handled before other connections get their turn: mostly 30 to 150 µs.
const QUANTUM = 256 * 1024;

/** A buffer that callbacks still have views of. */
export interface Loan {
  readonly buffer: Buffer;
  /** The number of these callbacks. */
  holders: number;
}

/**
 * Reads from the transport, with one read pending at a time. The buffer of a pending read can't be taken back, so each
 * silent connection costs one. Its size therefore follows the amount that the peer sends, down to 256 bytes. A stream
 * that reports readiness needs no buffer while it is silent.
 *
 * The sink's `readBudget` says whether to read. If it is 0 the pump stops, and continues at the next `pull`.
 *
 * If a peer sends faster than its bytes are handled, the next read is always ready. Once a quantum is spent, other
 * connections get their turn. A read that empties the socket begins a new quantum, since the next read has to wait anyway.
 */
export class ReadPump implements Yielding {
  /** Bytes received. */
  bytes = 0;

  readonly #transport: Transport;
  readonly #sink: ReadSink;
  #buffer: Buffer | null = null;
  #from = 0;
  #to = 0; // the unhandled bytes are from `#from` to `#to` in the buffer
  #asked = 0; // the most bytes that the read may bring
  readonly #size = new ReadSize();
  readonly #reads = new ReadCheck();
  #loan: Loan | null = null; // of the current buffer
  #direct = false; // the read goes into the sink's own memory
  #reading = false;
  #handling = false;
  #stopped = false;
  #spent = 0; // the spent part of the quantum
  #yielding = false;
  #stalled = 0;
  #stalledAt = -1; // when reading stopped; -1 while it continues
  readonly #onRead: (count?: unknown) => void;
  readonly #onError: ((error: unknown) => void) | undefined;

  constructor(transport: Transport, sink: ReadSink) {
    this.#transport = transport;
    this.#sink = sink;
    // A transport that reports readiness calls back without a count.
    if (transport.tryRead === undefined) {
      this.#onRead = (count) => this.#read(count);
      this.#onError = (error) => this.#failed(error);
    } else {
      this.#onRead = () => this.#readable();
    }
  }

  /** Whether a read is pending. */
  get reading(): boolean {
    return this.#reading;
  }

  /** The total time in ms for which reading was stopped. */
  get stalled(): number {
    return this.#stalled + (this.#stalledAt < 0 ? 0 : performance.now() - this.#stalledAt);
  }

  /** Whether the stream may bring more. */
  get open(): boolean {
    return !this.#stopped;
  }

  /** Adds bytes that were read before the pump was made. The next `pull` handles them. */
  prepend(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#buffer = { bytes, view, target: bytes, start: 0, size: -1 };
    this.#from = 0;
    this.#to = bytes.length;
  }

  /**
   * Continues after the sink's budget was 0. Does nothing while a read is pending, bytes are being handled, or other
   * connections have their turn.
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
   * Charges the cost of a frame to the quantum.
   *
   * @returns Whether handling has to stop until `consume` is called again.
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

  /** Keeps the buffer that is being handled from reuse, until `release`. Reading continues with another one. */
  retain(): Loan {
    const loan = this.#loan ??= { buffer: this.#buffer!, holders: 0 };
    loan.holders++;
    return loan;
  }

  /** Ends what `retain` began. */
  release(loan: Loan): void {
    if (--loan.holders > 0) return;
    if (loan === this.#loan) this.#loan = null;
    else release(loan.buffer);
  }

  /** A stream that reports readiness is ready. It is read once, so that other connections get their turn. */
  #readable(): void {
    // A foreign transport may call back without having been asked.
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
      // These bytes must not be handled again.
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
        // No read is pending in the transport, so no buffer is needed.
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
      // Handled like a rejection, so that the connection doesn't end within the call that made us read.
      this.#reading = true;
      queueMicrotask(() => this.#failed(error));
    }
  }

  /** The memory for the next read; `null` if the budget is 0. */
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
    if (buffer === null || this.#loan !== null || buffer.size !== this.#size.index) {
      this.#release();
      buffer = this.#buffer = acquire(this.#size.index);
    }
    const { target } = buffer;
    this.#asked = Math.min(budget, target.length);
    return this.#asked < target.length ? target.subarray(0, this.#asked) : target;
  }

  #stopReading(): void {
    // No read is pending, so the buffer can be given back.
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

  /** Handles the result of a read. */
  #took(said: unknown): void {
    const asked = this.#asked;
    let count: number | null;
    try {
      count = this.#reads.check(said, asked);
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (count === null) {
      this.#stopped = true;
      this.#release();
      this.#sink.inputEnded();
      return;
    }
    if (count === 0) return;
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
      // A read that the budget has cut short says nothing about how much the peer sends.
      if (asked >= SIZES[this.#size.index]) this.#size.follow(count);
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

  #release(): void {
    if (this.#buffer !== null && this.#loan === null) release(this.#buffer);
    this.#buffer = null;
    this.#loan = null;
    this.#from = this.#to = 0;
  }
}
