import { type Yielding, yieldTurn } from "../../flow/turn_line.ts";
import { acquire, type Buffer, release } from "../../memory/buffer_pool.ts";
import { PrefixedTransport } from "../../transport/prefixed.ts";
import { ReadCheck } from "../../transport/read_check.ts";
import type { Transport } from "../../transport/transport.ts";
import { NOTHING } from "../../util/bytes.ts";

// Size of the buffer of a kept-alive connection; most heads fit. One whose transport reports readiness needs none.
const SMALL = 1;
// Size of the buffer for a body. Larger ones are hardly faster, and each slow client would cost as much.
const BODY = 2;

// Reads that fill the buffer, after which other connections get their turn.
const MOST_FULL = 4;

/**
 * Reads the bytes of a client, at most one buffer ahead. So the end of its direction is noticed while a request is being
 * answered, and TCP holds back further requests.
 */
export class HttpInput implements Yielding {
  readonly #transport: Transport;
  /** `null` while it is empty and no read is pending. */
  #buffer: Buffer | null = null;
  #size = SMALL;
  /** The unread bytes are from `#start` to `#end` in this array: the early bytes, or the buffer. */
  #bytes: Uint8Array;
  #start = 0;
  #end: number;
  #reading = false;
  /** Whether the transport will call back when it has something. */
  #waiting = false;
  #ended = false;
  #closed = false;
  #full = 0; // reads in a row that have filled the buffer
  #yielding = false;
  #waiters: (() => void)[] = [];
  #onEnd: (() => void) | null = null;
  readonly #reads = new ReadCheck();
  readonly #onRead = (count: unknown) => this.#read(count);
  readonly #onError = () => this.#read(null);
  readonly #onReadable = () => this.#readable();

  /**
   * @param transport The connection; only this object may read from it.
   * @param early The bytes that were read from it already.
   */
  constructor(transport: Transport, early: Uint8Array) {
    this.#transport = transport;
    this.#bytes = early;
    this.#end = early.length;
  }

  /** Whether the client has ended its direction, or the connection is lost. Earlier bytes may still be unread. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The number of unread bytes. */
  get available(): number {
    return this.#end - this.#start;
  }

  /** The unread bytes; valid until the caller awaits or returns. */
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
   * @param large Whether a body follows, for which a large buffer is used.
   */
  watch(large: boolean, onEnd: () => void): void {
    if (large) this.#resize(BODY);
    this.#onEnd = onEnd;
    if (this.#ended) onEnd();
    else this.#pull();
  }

  /** Stops reading ahead; a pending read continues. */
  unwatch(): void {
    this.#onEnd = null;
    if (this.available === 0) this.#resize(SMALL);
  }

  /** Ends the input; the owner of the transport has to close it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = this.#ended = true;
    this.#onEnd = null;
    this.#start = this.#end;
    this.#wake();
    // A pending read may still write to it.
    if (!this.#reading) this.#drop();
  }

  /** Hands the connection over, with the unread bytes and those of a pending read. */
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
    // A read that empties the socket starts the count again: the next one has to wait anyway.
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

  /** Returns the room to read into; `null` while too many bytes are unread. */
  #room(): Uint8Array | null {
    const { target } = this.#buffer ??= acquire(this.#size);
    // Only into the second half, so that unread bytes are moved to the start at most once.
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

  /** The transport has something. It is read once, so that other connections get their turn. */
  #readable(): void {
    if (!this.#waiting) return;
    this.#waiting = false;
    // Bytes that are not wanted any more stay in the kernel.
    if (this.#closed || (this.#onEnd === null && this.#waiters.length === 0)) return;
    const room = this.#room();
    if (room === null) return;
    let said: unknown;
    try {
      said = this.#transport.tryRead!(room);
    } catch {
      said = null;
    }
    if (said === 0) this.#wait();
    else this.#read(said);
  }

  resume(): void {
    this.#yielding = false;
    this.#full = 0;
    if (this.#closed) return;
    this.#pull();
  }

  #read(said: unknown): void {
    this.#reading = this.#waiting = false;
    if (this.#closed) return this.#drop();
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
      return this.#reads.check(said, this.#bytes.length - this.#end);
    } catch {
      return null;
    }
  }

  #wake(): void {
    const waiters = this.#waiters;
    if (waiters.length === 0) return;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
