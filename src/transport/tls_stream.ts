import { Duplex } from "node:stream";
import { setImmediate } from "node:timers";
import type { TLSSocket } from "node:tls";
import { acquire, type Buffer, release, SIZES } from "../memory/buffer_pool.ts";
import { Fifo } from "../util/fifo.ts";
import type { PeerCertificate } from "./peer_certificate.ts";
import { ReadCheck } from "./read_check.ts";
import { checkTaken, closeQuietly, promised, setRef } from "./stream_io.ts";
import { TlsError } from "./tls_errors.ts";
import type { Transport } from "./transport.ts";

/** Index of the buffer size for reading a TLS record of 16 KiB. */
const RECORD = 2;
/** The longest write: for larger ones `node:tls` allocates buffers that the kernel has to map and unmap. */
const WRITE_LIMIT = 64 * 1024;

type Callback = (error?: Error | null) => void;

/**
 * The encrypted side of a `node:tls` socket. It extends `Duplex` only so that `node:tls` accepts it. {@linkcode TlsTransport}
 * pushes the bytes that it reads, and writes go directly to the transport below.
 *
 * There are two reasons not to use an ordinary `Duplex`. In Deno, `node:tls` has no receive backpressure: it continues reading
 * even if it is paused. Here bytes are read only on demand. And the queues, ticks and events of a real `Duplex` cost three
 * times as much as TLS itself.
 */
export class CipherSide extends Duplex {
  readonly #raw: Transport;
  readonly #queue = new Fifo<Uint8Array>();
  #callbacks: Callback[] = [];
  #flushing = false;
  #failure: Error | undefined;
  #gone = false;
  #taken = 0;
  #shut: Promise<void> | undefined;
  /** Called once when all written bytes have been taken, or can't be. */
  onIdle: ((failure: Error | undefined) => void) | undefined;
  /** Called when `node:tls` has nothing more to write, or destroys this stream. */
  onFinished: (() => void) | undefined;

  constructor(raw: Transport) {
    super({ autoDestroy: false, emitClose: false });
    this.#raw = raw;
  }

  /** Whether bytes are being written. */
  get busy(): boolean {
    return this.#flushing;
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Encrypted bytes that the kernel has taken. */
  get taken(): number {
    return this.#raw.bytesTaken ?? this.#taken;
  }

  // `TlsTransport` starts and stops reading, not the methods of a stream.
  override pause(): this {
    return this;
  }
  override resume(): this {
    return this;
  }
  override cork(): void {}
  override uncork(): void {}
  override _read(): void {}

  override write(chunk: Uint8Array, encoding?: unknown, callback?: unknown): boolean {
    const done = typeof encoding === "function" ? encoding : callback;
    this.#queue.push(chunk);
    if (typeof done === "function") this.#callbacks.push(done as Callback);
    if (!this.#flushing) void this.#flush();
    return true;
  }

  async #flush(): Promise<void> {
    this.#flushing = true;
    try {
      for (let chunk = this.#queue.shift(); chunk !== undefined; chunk = this.#queue.shift()) {
        for (let at = 0; at < chunk.length;) {
          const rest = at === 0 ? chunk : chunk.subarray(at);
          const count = checkTaken(await this.#raw.write(rest));
          this.#taken += count;
          at += count;
        }
      }
    } catch (error) {
      this.#queue.clear();
      this.#failure = error instanceof Error ? error : new Error(String(error));
    }
    this.#flushing = false;
    const callbacks = this.#callbacks;
    if (callbacks.length > 0) {
      this.#callbacks = [];
      for (const callback of callbacks) callback(this.#failure);
    }
    const onIdle = this.onIdle;
    this.onIdle = undefined;
    onIdle?.(this.#failure);
  }

  override end(...args: unknown[]): this {
    const done = args.findLast((arg) => typeof arg === "function") as (() => void) | undefined;
    this.shut().then(done);
    return this;
  }

  /** Ends our direction of the transport below when all written bytes have been taken. */
  shut(): Promise<void> {
    return this.#shut ??= new Promise((resolve) => {
      const shut = () => {
        this.onFinished?.();
        promised(() => this.#raw.closeWrite()).then(resolve, () => resolve());
      };
      if (this.#flushing && this.onFinished === undefined) {
        const waiting = this.onIdle;
        this.onIdle = (failure) => {
          waiting?.(failure);
          shut();
        };
      } else {
        shut();
      }
    });
  }

  override destroy(): this {
    if (this.#gone) return this;
    this.#gone = true;
    this.onFinished?.();
    this.emit("close");
    return this;
  }

  /**
   * Closes the transport below, as after a fatal alert (RFC 8446 6.2). `node:tls` writes the alert in a microtask, and the
   * kernel takes it in the next turn. If the kernel has no room for it, it is lost.
   */
  async abandon(): Promise<void> {
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
    closeQuietly(this.#raw);
  }
}

/**
 * Ends a `node:tls` socket from a microtask, so that the socket calls back after its close_notify. The socket writes the
 * alert in a microtask and calls back in a tick. After a timer ticks run before microtasks, within a microtask after them.
 */
function afterAlert(end: () => void): void {
  queueMicrotask(end);
}

/**
 * A `node:tls` socket as a transport. It reads from the transport below only while a `read` is pending, first into the
 * buffer of that read. So an idle connection needs no other buffer, and a held one slows its peer down.
 */
export class TlsTransport implements Transport {
  readonly peerCertificate: PeerCertificate | undefined;
  readonly #raw: Transport;
  readonly #cipher: CipherSide;
  readonly #tls: TLSSocket;
  /** Decrypted bytes that exceeded the reader's buffer: at most a few TLS records. */
  readonly #plain = new Fifo<Uint8Array>();
  #plainOffset = 0;
  #received = 0;
  readonly #reads = new ReadCheck();
  #ended = false;
  #failure: Error | undefined;
  #closed = false;
  #shut = false;
  #abandoned = false;
  #rejectWrite: ((error: Error) => void) | undefined;
  #onReadable: (() => void) | undefined;
  readonly tryRead: Transport["tryRead"];
  readonly whenReadable: Transport["whenReadable"];

  /**
   * @param raw The transport below, which this object now owns.
   * @param cipher The encrypted side, made over `raw`.
   * @param tls The socket, made over `cipher`.
   * @param peerCertificate The peer's certificate, if it was requested.
   */
  constructor(
    raw: Transport,
    cipher: CipherSide,
    tls: TLSSocket,
    peerCertificate?: PeerCertificate,
  ) {
    this.peerCertificate = peerCertificate;
    this.#raw = raw;
    this.#cipher = cipher;
    this.#tls = tls;
    if (raw.tryRead !== undefined) {
      this.tryRead = (into) => this.#tryRead(into);
      this.whenReadable = (ready) => this.#whenReadable(ready);
    }
    // `node:tls` calls `push` with decrypted bytes; the queue and the events of a Readable aren't needed.
    tls.push = (chunk: Uint8Array | null): boolean => {
      if (chunk === null) this.#ended = true;
      else if (chunk.length > 0) this.#plain.push(chunk);
      return true;
    };
    // Bytes that came in the same segment as the end of the handshake.
    for (let chunk = tls.read(); chunk !== null; chunk = tls.read()) this.#plain.push(chunk);
    // A server's socket that was made without a `tls.Server` emits only this event for an error after the handshake.
    tls.on("_tlsError", (error: Error) => this.#tlsFailed(error));
    tls.on("error", (error: Error) => this.#tlsFailed(error));
    // `close` comes after the error, if there is one.
    tls.once("close", () => {
      if (!this.#ended) this.#fail(new Error("The TLS session ended"));
    });
  }

  get localAddr(): Deno.Addr | null | undefined {
    return this.#raw.localAddr;
  }

  get remoteAddr(): Deno.Addr | null | undefined {
    return this.#raw.remoteAddr;
  }

  /** The protocol that ALPN has agreed on; `""` for none. */
  get alpnProtocol(): string {
    return this.#tls.alpnProtocol || "";
  }

  get bytesReceived(): number {
    return this.#raw.bytesReceived ?? this.#received;
  }

  get unacknowledgedBytes(): number | undefined {
    return this.#raw.unacknowledgedBytes;
  }

  get bytesTaken(): number {
    return this.#cipher.taken;
  }

  async read(into: Uint8Array): Promise<number | null> {
    let larger: Buffer | null = null;
    try {
      for (;;) {
        if (this.#plain.length > 0) return this.#take(into);
        if (this.#failure) throw this.#failure;
        if (this.#ended) return null;
        // The bytes are decrypted before `emit` returns, so the encrypted ones can be read into the caller's buffer.
        const target = larger === null ? into : larger.target;
        let count: number | null;
        try {
          count = this.#reads.check(await this.#raw.read(target), target.length);
        } catch (error) {
          // The session may have failed in the meantime, which has ended this read.
          throw this.#failure ?? error;
        }
        this.#decrypt(target, count);
        // A record can be decrypted only when it is complete, so the rest of it is read with a larger buffer.
        if (this.#plain.length === 0 && larger === null && into.length < SIZES[RECORD]) {
          larger = acquire(RECORD);
        }
      }
    } finally {
      if (larger !== null) release(larger);
    }
  }

  #decrypt(encrypted: Uint8Array, count: number | null): void {
    if (count === null) {
      this.#ended = true;
    } else {
      this.#received += count;
      this.#cipher.emit("data", encrypted.subarray(0, count));
    }
  }

  /** Reads from a transport that reports readiness, and only once, even if the bytes complete no record. */
  #tryRead(into: Uint8Array): number | null {
    if (this.#plain.length > 0) return this.#take(into);
    if (this.#failure) throw this.#failure;
    if (this.#ended) return null;
    const larger = into.length < SIZES[RECORD] ? acquire(RECORD) : null;
    try {
      const target = larger === null ? into : larger.target;
      const count = this.#raw.tryRead!(target);
      if (count !== 0) this.#decrypt(target, count);
    } finally {
      if (larger !== null) release(larger);
    }
    if (this.#plain.length > 0) return this.#take(into);
    return this.#ended ? null : 0;
  }

  #whenReadable(ready: () => void): void {
    this.#onReadable = ready;
    if (this.#plain.length > 0 || this.#ended || this.#failure !== undefined) {
      setImmediate(this.#tellReadable);
    } else {
      this.#raw.whenReadable!(this.#tellReadable);
    }
  }

  readonly #tellReadable = (): void => {
    const ready = this.#onReadable;
    this.#onReadable = undefined;
    ready?.();
  };

  #take(into: Uint8Array): number {
    let filled = 0;
    for (let chunk = this.#plain.peek(); chunk !== undefined; chunk = this.#plain.peek()) {
      if (filled === into.length) break;
      const count = Math.min(chunk.length - this.#plainOffset, into.length - filled);
      if (count === chunk.length) into.set(chunk, filled);
      else into.set(chunk.subarray(this.#plainOffset, this.#plainOffset + count), filled);
      filled += count;
      this.#plainOffset += count;
      if (this.#plainOffset === chunk.length) {
        this.#plain.shift();
        this.#plainOffset = 0;
      }
    }
    return filled;
  }

  write(data: Uint8Array): Promise<number> {
    const piece = data.length > WRITE_LIMIT ? data.subarray(0, WRITE_LIMIT) : data;
    return new Promise((resolve, reject) => {
      if (this.#failure || this.#closed || this.#shut) {
        reject(this.#failure ?? new Deno.errors.BadResource("Cannot write to a closed TLS stream"));
        return;
      }
      this.#rejectWrite = reject;
      this.#tls.write(piece, (error) => {
        if (error) return reject(this.#failure ?? error);
        const cipher = this.#cipher;
        if (!cipher.busy) return this.#settleWrite(cipher.failure, piece.length, resolve, reject);
        cipher.onIdle = (failure) => this.#settleWrite(failure, piece.length, resolve, reject);
      });
    });
  }

  #settleWrite(
    failure: Error | undefined,
    length: number,
    resolve: (count: number) => void,
    reject: (error: Error) => void,
  ): void {
    this.#rejectWrite = undefined;
    if (failure) reject(failure);
    else resolve(length);
  }

  closeWrite(): Promise<void> {
    if (this.#closed || this.#shut) return Promise.resolve();
    this.#shut = true;
    // Sends close_notify, then ends our direction of the transport below, which node:tls leaves open.
    return new Promise((resolve) => {
      this.#tls.once("close", () => resolve());
      afterAlert(() => this.#tls.end(() => this.#cipher.shut().then(resolve)));
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // After a failure of TLS the transport below is closed as soon as the alert is written.
    if (this.#abandoned) return;
    const raw = this.#raw;
    if (this.#shut || this.#failure || this.#cipher.busy || this.#tls.destroyed) {
      closeQuietly(raw);
      this.#tls.destroy();
    } else {
      // By the alert the peer can distinguish an orderly end from a cut. The kernel has it when `onFinished` is called, in
      // the next tick. If the kernel has no room for it, it is lost.
      this.#cipher.onFinished = () => closeQuietly(raw);
      afterAlert(() => this.#tls.destroySoon());
    }
    this.#fail(new Deno.errors.BadResource("The TLS stream is closed"));
  }

  ref(): void {
    setRef(this.#raw, true);
  }

  unref(): void {
    setRef(this.#raw, false);
  }

  #tlsFailed(error: Error): void {
    if (this.#failure !== undefined) return;
    // The transport below has failed, and not TLS.
    if (error === this.#cipher.failure) return this.#fail(error);
    this.#abandoned = true;
    this.#fail(new TlsError(error));
    this.#cipher.abandon().then(() => this.#tls.destroy());
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    const reject = this.#rejectWrite;
    this.#rejectWrite = undefined;
    reject?.(this.#failure);
    // The transport below may never become readable again.
    if (this.#onReadable !== undefined) setImmediate(this.#tellReadable);
  }
}
