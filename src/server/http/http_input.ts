import { type Yielding, yieldTurn } from "../../flow/turn_line.ts";
import { acquire, type Buffer, release } from "../../memory/buffer_pool.ts";
import { PrefixedTransport } from "../../transport/prefixed.ts";
import { ReadCheck } from "../../transport/read_check.ts";
import type { Transport } from "../../transport/transport.ts";

// Takes most heads whole: what a connection costs that is kept alive and silent.
const SMALL = 1;
// Of a body as much is handed to the handler at once; larger ones are hardly faster, and cost each slow client as much.
const BODY = 2;

// Reads that fill the buffer, after which others get their turn.
const MOST_FULL = 4;

/**
 * What a client sends, with one buffer of it read ahead at most: its end shows while a request is being answered, and
 * further requests are held back by TCP.
 */
export class HttpInput implements Yielding {
  readonly #transport: Transport;
  #buffer: Buffer;
  /** Where the unread bytes are: in what was read before, or in the buffer. */
  #bytes: Uint8Array;
  #start = 0;
  #end: number;
  #reading = false;
  #ended = false;
  #closed = false;
  #full = 0; // reads in a row that filled what they were given
  #yielding = false;
  #waiters: (() => void)[] = [];
  #onEnd: (() => void) | null = null;
  readonly #reads = new ReadCheck();
  readonly #onRead = (count: unknown) => this.#read(count);
  readonly #onError = () => this.#read(null);

  /**
   * @param transport The connection; nobody else may read from it.
   * @param early What has been read from it already.
   */
  constructor(transport: Transport, early: Uint8Array) {
    this.#transport = transport;
    this.#buffer = acquire(SMALL);
    this.#bytes = early;
    this.#end = early.length;
  }

  /** Whether the client has ended its direction or is lost; what it sent before may still be unread. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The number of unread bytes. */
  get available(): number {
    return this.#end - this.#start;
  }

  /** The unread bytes; valid until the caller gives up control. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /** Marks the first unread bytes as read. */
  skip(count: number): void {
    this.#start += count;
    if (this.#onEnd !== null) this.#pull();
  }

  /**
   * Waits for unread bytes.
   *
   * @returns Whether there are any; `false` at the end.
   */
  async more(): Promise<boolean> {
    while (this.available === 0) {
      if (this.#ended) return false;
      this.#pull();
      if (this.available === 0) await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
    return true;
  }

  /**
   * Reads ahead, and calls back at the end of the input, until `unwatch`.
   *
   * @param large Whether a body comes, which goes through a large buffer.
   */
  watch(large: boolean, onEnd: () => void): void {
    if (large && this.#buffer.size !== BODY) this.#resize(BODY);
    this.#onEnd = onEnd;
    if (this.#ended) onEnd();
    else this.#pull();
  }

  /** Reads ahead no more; a read that has begun isn't taken back. */
  unwatch(): void {
    this.#onEnd = null;
    if (this.available === 0 && this.#buffer.size !== SMALL) this.#resize(SMALL);
  }

  /** Ends the input; the transport is its owner's to close. */
  close(): void {
    if (this.#closed) return;
    this.#closed = this.#ended = true;
    this.#onEnd = null;
    this.#start = this.#end;
    this.#wake();
    // A read under way may still write to it.
    if (!this.#reading) release(this.#buffer);
  }

  /** Hands the connection over, with what is unread and a read that is under way. */
  handOver(): { early: Uint8Array; transport: Transport } {
    const early = this.bytes.slice();
    this.#onEnd = null;
    if (!this.#reading) {
      this.close();
      return { early, transport: this.#transport };
    }
    const start = this.#end;
    const next = new Promise<Uint8Array>((resolve) => {
      this.#waiters.push(() => {
        const more = this.#bytes.slice(start, this.#end);
        this.close();
        resolve(more);
      });
    });
    return { early, transport: new PrefixedTransport(next, this.#transport) };
  }

  #took(count: number): void {
    // A read that empties the socket lets others in: the next one waits.
    this.#full = count < this.#room ? 0 : this.#full + 1;
    this.#end += count;
  }

  #resize(size: number): void {
    if (this.#closed) return;
    if (this.#reading) return;
    const old = this.#buffer;
    this.#buffer = acquire(size);
    if (this.#bytes === old.target) this.#toStart();
    release(old);
  }

  #toStart(): void {
    const { target } = this.#buffer, { available } = this;
    target.set(this.bytes);
    this.#bytes = target;
    this.#start = 0;
    this.#end = available;
  }

  #pull(): void {
    if (this.#reading || this.#yielding || this.#ended) return;
    const { target } = this.#buffer;
    // By halves, so that bytes which stay unread are moved to its start once at most.
    if (2 * this.available > target.length) return;
    if (this.#bytes !== target || 2 * this.#end > target.length) this.#toStart();
    if (this.#full === MOST_FULL) {
      this.#yielding = true;
      yieldTurn(this);
      return;
    }
    this.#reading = true;
    try {
      const read = this.#transport.read(target.subarray(this.#end));
      read.then(this.#onRead, this.#onError);
    } catch {
      this.#onError();
    }
  }

  resume(): void {
    this.#yielding = false;
    this.#full = 0;
    if (this.#closed) return;
    this.#pull();
  }

  #read(said: unknown): void {
    this.#reading = false;
    if (this.#closed) {
      release(this.#buffer);
      return;
    }
    const count = this.#checked(said);
    if (count === null) this.#ended = true;
    else this.#took(count);
    this.#wake();
    const onEnd = this.#onEnd;
    if (onEnd === null) return;
    if (this.#ended) onEnd();
    else this.#pull();
  }

  /** A stream that gives nonsense is lost. */
  #checked(said: unknown): number | null {
    try {
      return this.#reads.check(said, this.#room);
    } catch {
      return null;
    }
  }

  /** Bytes that a read may bring. */
  get #room(): number {
    return this.#buffer.target.length - this.#end;
  }

  #wake(): void {
    const waiters = this.#waiters;
    if (waiters.length === 0) return;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
