import { acquire, type Buffer, LARGEST, release } from "../../memory/buffer_pool.ts";
import type { Transport } from "../../transport/transport.ts";

// Takes most heads whole: what a connection costs that keeps alive and is silent.
const SMALL = 1;

/**
 * What a client sends, with one buffer of it read ahead at most: so its end shows while a request is being answered,
 * and further requests are held back by TCP.
 */
export class HttpInput {
  readonly #transport: Transport;
  #buffer: Buffer;
  /** Where the unread bytes are: what came before, or the buffer. */
  #bytes: Uint8Array;
  #start = 0;
  #end: number;
  #reading = false;
  #ended = false;
  #closed = false;
  #waiters: (() => void)[] = [];
  #onEnd: (() => void) | null = null;
  readonly #onRead = (count: number | null) => this.#read(count);
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

  /** Whether the client has ended its direction, or the connection is lost; what it sent before may still be unread. */
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
   * @param large Whether many are expected.
   * @returns Whether there are any; `false` at the end.
   */
  async more(large = false): Promise<boolean> {
    while (this.available === 0) {
      if (this.#ended) return false;
      const size = large ? LARGEST : SMALL;
      if (!this.#reading && this.#buffer.size !== size) {
        release(this.#buffer);
        this.#buffer = acquire(size);
        this.#bytes = this.#buffer.target;
        this.#start = this.#end = 0;
      }
      this.#pull();
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
    return true;
  }

  /** Reads ahead, and calls back at the end of the input, until `unwatch`. */
  watch(onEnd: () => void): void {
    this.#onEnd = onEnd;
    this.#pull();
  }

  /** Reads ahead no more; a read that has begun isn't taken back. */
  unwatch(): void {
    this.#onEnd = null;
  }

  /** Ends the input; the transport is closed by the caller. */
  close(): void {
    if (this.#closed) return;
    this.#closed = this.#ended = true;
    this.#onEnd = null;
    this.#start = this.#end;
    this.#wake();
    // A read under way may still write to it.
    if (!this.#reading) release(this.#buffer);
  }

  /** Hands the connection over to somebody else, with what is unread or being read. */
  handOver(): Transport {
    const rest = this.bytes.slice();
    this.#onEnd = null;
    if (!this.#reading) {
      this.close();
      return rest.length === 0 ? this.#transport : new HandedOver(this.#transport, rest, null);
    }
    const start = this.#end;
    const next = new Promise<Uint8Array | null>((resolve) => {
      this.#waiters.push(() => {
        const more = this.#bytes.slice(start, this.#end);
        this.close();
        resolve(more.length === 0 ? null : more);
      });
    });
    return new HandedOver(this.#transport, rest, next);
  }

  #pull(): void {
    if (this.#reading || this.#ended) return;
    const { target } = this.#buffer, { available } = this;
    // Half of it at a time, so that bytes which stay unread are moved to its start once or twice at most.
    if (2 * available > target.length) return;
    if (this.#bytes !== target || this.#end > target.length / 2) {
      target.set(this.bytes);
      this.#bytes = target;
      this.#start = 0;
      this.#end = available;
    }
    this.#reading = true;
    this.#transport.read(target.subarray(this.#end)).then(this.#onRead, this.#onError);
  }

  #read(count: number | null): void {
    this.#reading = false;
    if (this.#closed) {
      release(this.#buffer);
      return;
    }
    if (count === null) this.#ended = true;
    else this.#end += count;
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

/** A connection of which some bytes were read before, and for which a read may be under way. */
class HandedOver implements Transport {
  readonly #below: Transport;
  #rest: Uint8Array;
  #next: Promise<Uint8Array | null> | null;

  constructor(below: Transport, rest: Uint8Array, next: Promise<Uint8Array | null> | null) {
    this.#below = below;
    this.#rest = rest;
    this.#next = next;
  }

  get localAddr(): Deno.Addr | null | undefined {
    return this.#below.localAddr;
  }

  get remoteAddr(): Deno.Addr | null | undefined {
    return this.#below.remoteAddr;
  }

  get peerCertificate(): Transport["peerCertificate"] {
    return this.#below.peerCertificate;
  }

  read(into: Uint8Array): Promise<number | null> {
    if (this.#rest.length > 0) return Promise.resolve(this.#take(into));
    return this.#next === null ? this.#below.read(into) : this.#readNext(this.#next, into);
  }

  async #readNext(next: Promise<Uint8Array | null>, into: Uint8Array): Promise<number | null> {
    const bytes = await next;
    this.#next = null;
    if (bytes === null) return null;
    this.#rest = bytes;
    return this.#take(into);
  }

  #take(into: Uint8Array): number {
    const count = Math.min(this.#rest.length, into.length);
    into.set(this.#rest.subarray(0, count));
    this.#rest = this.#rest.subarray(count);
    return count;
  }

  write(data: Uint8Array): Promise<number> {
    return this.#below.write(data);
  }

  closeWrite(): Promise<void> {
    return this.#below.closeWrite();
  }

  close(): void {
    this.#below.close();
  }

  ref(): void {
    this.#below.ref?.();
  }

  unref(): void {
    this.#below.unref?.();
  }
}
