import { type Yielding, yieldTurn } from "../../flow/turn_line.ts";
import { acquire, type Buffer, release } from "../../memory/buffer_pool.ts";
import { PrefixedTransport } from "../../transport/prefixed.ts";
import type { Transport } from "../../transport/transport.ts";
import { NOTHING } from "../../util/bytes.ts";

// Takes most heads whole: what a connection costs that is kept alive and silent, unless its transport reports readiness.
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
  /** `null` while there is nothing in it and no read under way. */
  #buffer: Buffer | null = null;
  #size = SMALL;
  /** Where the unread bytes are: in what was read before, or in the buffer. */
  #bytes: Uint8Array;
  #start = 0;
  #end: number;
  #reading = false;
  /** Whether the transport is to say when it has something. */
  #waiting = false;
  #ended = false;
  #closed = false;
  #full = 0; // reads in a row that filled what they were given
  #yielding = false;
  #waiters: (() => void)[] = [];
  #onEnd: (() => void) | null = null;
  readonly #onRead = (count: number | null) => this.#read(count);
  readonly #onError = () => this.#read(null);
  readonly #onReadable = () => this.#readable();

  /**
   * @param transport The connection; nobody else may read from it.
   * @param early What has been read from it already.
   */
  constructor(transport: Transport, early: Uint8Array) {
    this.#transport = transport;
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
    if (large) this.#resize(BODY);
    this.#onEnd = onEnd;
    if (this.#ended) onEnd();
    else this.#pull();
  }

  /** Reads ahead no more; a read that has begun isn't taken back. */
  unwatch(): void {
    this.#onEnd = null;
    if (this.available === 0) this.#resize(SMALL);
  }

  /** Ends the input; the transport is its owner's to close. */
  close(): void {
    if (this.#closed) return;
    this.#closed = this.#ended = true;
    this.#onEnd = null;
    this.#start = this.#end;
    this.#wake();
    // A read under way may still write to it.
    if (!this.#reading) this.#drop();
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
    this.#full = count < this.#bytes.length - this.#end ? 0 : this.#full + 1;
    this.#end += count;
  }

  #resize(size: number): void {
    if (this.#closed || this.#reading || this.#size === size) return;
    this.#size = size;
    const old = this.#buffer;
    if (old === null) return;
    this.#buffer = acquire(size);
    if (this.#bytes === old.target) this.#toStart(this.#buffer.target);
    release(old);
  }

  #toStart(target: Uint8Array): void {
    const { available } = this;
    target.set(this.bytes);
    this.#bytes = target;
    this.#start = 0;
    this.#end = available;
  }

  #drop(): void {
    if (this.#buffer === null) return;
    release(this.#buffer);
    this.#buffer = null;
    this.#bytes = NOTHING;
    this.#start = this.#end = 0;
  }

  /** Room to read into; `null` while too much is unread. */
  #room(): Uint8Array | null {
    const { target } = this.#buffer ??= acquire(this.#size);
    // By halves, so that bytes which stay unread are moved to its start once at most.
    if (2 * this.available > target.length) return null;
    if (this.#bytes !== target || 2 * this.#end > target.length) this.#toStart(target);
    return target.subarray(this.#end);
  }

  #pull(): void {
    if (this.#reading || this.#waiting || this.#yielding || this.#ended) return;
    if (this.#transport.tryRead !== undefined) return this.#wait();
    const room = this.#room();
    if (room === null) return;
    if (this.#full === MOST_FULL) {
      this.#yielding = true;
      yieldTurn(this);
      return;
    }
    this.#reading = true;
    try {
      this.#transport.read(room).then(this.#onRead, this.#onError);
    } catch {
      this.#onError();
    }
  }

  /** Waits for a transport that reports readiness; without a buffer, if nothing is unread. */
  #wait(): void {
    if (this.available === 0) this.#drop();
    else if (this.#room() === null) return;
    this.#waiting = true;
    try {
      this.#transport.whenReadable!(this.#onReadable);
    } catch {
      this.#onError();
    }
  }

  /** It is read once, so that others get their turn. */
  #readable(): void {
    if (!this.#waiting) return;
    this.#waiting = false;
    // What nobody waits for any more is left to TCP.
    if (this.#closed || (this.#onEnd === null && this.#waiters.length === 0)) return;
    const room = this.#room();
    if (room === null) return;
    let count: number | null;
    try {
      count = this.#transport.tryRead!(room);
    } catch {
      count = null;
    }
    if (count === 0) this.#wait();
    else this.#read(count);
  }

  resume(): void {
    this.#yielding = false;
    this.#full = 0;
    if (this.#closed) return;
    this.#pull();
  }

  #read(count: number | null): void {
    this.#reading = this.#waiting = false;
    if (this.#closed) return this.#drop();
    if (count === null) this.#ended = true;
    else this.#took(count);
    this.#wake();
    const onEnd = this.#onEnd;
    if (onEnd === null) return;
    if (this.#ended) onEnd();
    else this.#pull();
  }

  #wake(): void {
    const waiters = this.#waiters;
    if (waiters.length === 0) return;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
