import type { Duplex } from "node:stream";
import { callForeign } from "../util/foreign.ts";
import { CallbackTimer, type Timers } from "../util/timers.ts";
import { copyInto, WRITE_LIMIT } from "./stream_io.ts";
import type { Transport } from "./transport.ts";

/**
 * A stream says of a write only that all of it has been taken, so to a slow taker, and until one has shown how fast it
 * is, no more is written at once than this.
 */
const SLOW_WRITE = 4 * 1024;
/** A write that takes longer is slow, in ms. */
const QUICK = 50;

/**
 * What a stream may receive while it isn't read. A TCP socket stops at its high-water mark and never comes near. A
 * socket of `node:tls` that isn't ours reads on natively, whatever is paused.
 */
const HELD_LIMIT: number = 16 * 1024 * 1024;
/** How often is looked at what a stream that isn't being read has received, in ms. */
const LOOK = 50;

/** Watches over a stream that can't be held back. */
export interface HeldWatch {
  /** Where it is armed. */
  readonly timers: Timers;
  /** Called when {@linkcode HELD_LIMIT} was exceeded, which has destroyed the stream. */
  exceeded(error: Error): void;
}

const NOTHING = () => {};

/** What a `net.Socket` has beyond a `Duplex`; any of it may be missing. */
interface SocketExtras {
  setNoDelay?(noDelay: boolean): unknown;
  setTimeout?(timeout: number): unknown;
  ref?(): unknown;
  unref?(): unknown;
  localAddress?: string;
  localPort?: number;
  remoteAddress?: string;
  remotePort?: number;
  bytesRead?: number;
  /** Set for one of `node:tls`. */
  encrypted?: boolean;
  /** The TCP socket below that of `node:tls`. */
  _parent?: SocketExtras | null;
}

/**
 * Says whether a value is a Node stream that can be read and written.
 *
 * @param value Anything.
 * @returns Whether it has the members that {@linkcode NodeStreamTransport} needs.
 */
export function isNodeDuplex(value: unknown): value is Duplex {
  const stream = value as Partial<Duplex> | null;
  return typeof stream === "object" && stream !== null && typeof stream.on === "function" &&
    typeof stream.read === "function" && typeof stream.write === "function" &&
    typeof stream.end === "function" && typeof stream.destroy === "function";
}

/**
 * A Node stream as a transport: the socket of a `node:http` upgrade, of `node:net`, or any other `Duplex` of bytes.
 *
 * The stream is read in paused mode, so what isn't asked for stays in its buffer, and when that is full (its own
 * high-water mark) in the kernel's. A write counts as taken when the stream calls back, which a socket does when the
 * kernel has the bytes.
 */
export class NodeStreamTransport implements Transport {
  readonly #stream: Duplex & SocketExtras;
  #rest: Uint8Array | undefined;
  #ended = false;
  #failure: Error | undefined;
  #closed = false;
  #piece = SLOW_WRITE;
  #wakeReader: (() => void) | undefined;
  #rejectWrite: ((error: Error) => void) | undefined;
  readonly #watch: HeldWatch | undefined;
  readonly #look: CallbackTimer | undefined;
  #given: number;

  /**
   * @param stream The stream; ours from now on.
   * @param watch Notified of a `node:tls` socket that has received too much while it wasn't read; without it there is
   * no limit.
   * @throws {TypeError} If it carries objects or has been destroyed or ended, and then it is left as it was.
   */
  constructor(stream: Duplex, watch?: HeldWatch) {
    if (stream.readableObjectMode || stream.writableObjectMode) {
      throw new TypeError("Cannot take over a stream of objects: it must carry bytes");
    }
    if (stream.destroyed || stream.writableEnded || stream.readableEnded) {
      throw new TypeError("Cannot take over a stream that has been closed");
    }
    if (stream.readableEncoding !== null && stream.readableEncoding !== undefined) {
      throw new TypeError("Cannot take over a stream that has been set to decode text");
    }
    this.#stream = stream;
    // What its owner has read of it counts as given.
    this.#given = (this.#stream.bytesRead ?? 0) - stream.readableLength;
    // The end of the peer's direction must not end ours: the close frame may have to go out yet.
    stream.allowHalfOpen = true;
    callForeign(() => this.#stream.setNoDelay?.(true), NOTHING);
    callForeign(() => this.#stream.setTimeout?.(0), NOTHING);
    stream.on("error", this.#onError);
    stream.on("end", this.#onEnd);
    stream.on("close", this.#onClose);
    // A listener for "readable" ends flowing mode, so nothing is lost from here on.
    stream.on("readable", this.#onReadable);
    if (watch !== undefined && this.#stream.encrypted === true) {
      this.#watch = watch;
      this.#look = new CallbackTimer(() => this.#checkHeld());
      this.#lookSoon();
    }
  }

  get localAddr(): Deno.Addr | null {
    const { localAddress, localPort } = this.#stream;
    return address(localAddress, localPort);
  }

  get remoteAddr(): Deno.Addr | null {
    const { remoteAddress, remotePort } = this.#stream;
    return address(remoteAddress, remotePort);
  }

  get bytesReceived(): number | undefined {
    const stream = this.#stream;
    const count = (stream._parent ?? stream).bytesRead;
    return typeof count === "number" ? count : undefined;
  }

  async read(into: Uint8Array): Promise<number | null> {
    for (;;) {
      const chunk: Uint8Array | null = this.#rest ?? this.#stream.read();
      if (chunk !== null) return this.#give(chunk, into);
      if (this.#ended) return null;
      if (this.#failure) throw this.#failure;
      await new Promise<void>((resolve) => this.#wakeReader = resolve);
    }
  }

  tryRead(into: Uint8Array): number | null {
    const chunk: Uint8Array | null = this.#rest ?? this.#stream.read();
    if (chunk !== null) return this.#give(chunk, into);
    if (this.#ended) return null;
    if (this.#failure) throw this.#failure;
    return 0;
  }

  whenReadable(ready: () => void): void {
    this.#wakeReader = ready;
    const known = this.#rest !== undefined || this.#ended || this.#failure !== undefined ||
      this.#stream.readableLength > 0;
    if (known) queueMicrotask(() => this.#wake());
  }

  #give(chunk: Uint8Array, into: Uint8Array): number {
    if (this.#look !== undefined) this.#lookSoon();
    const length = Math.min(chunk.length, into.length);
    this.#given += length;
    this.#rest = copyInto(into, chunk);
    return length;
  }

  write(data: Uint8Array): Promise<number> {
    const piece = data.length > this.#piece ? data.subarray(0, this.#piece) : data;
    const start = performance.now();
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      this.#rejectWrite = reject;
      const done = (error?: Error | null) => {
        this.#rejectWrite = undefined;
        if (error) return reject(this.#failure ?? error);
        if (performance.now() - start > QUICK) this.#piece = SLOW_WRITE;
        else if (piece.length === this.#piece) this.#piece = Math.min(2 * this.#piece, WRITE_LIMIT);
        resolve(piece.length);
      };
      callForeign(() => this.#stream.write(piece, done), reject);
    });
  }

  #lookSoon(): void {
    if (this.#look!.index < 0) this.#watch!.timers.set(this.#look!, LOOK);
  }

  #checkHeld(): void {
    // While a read is pending nothing is held; the next one that gives something arms the timer again.
    if (this.#closed || this.#failure !== undefined || this.#wakeReader !== undefined) return;
    if (this.#stream.bytesRead! - this.#given <= HELD_LIMIT) {
      this.#lookSoon();
      return;
    }
    const error = new Error(
      `More than ${HELD_LIMIT} bytes arrived while the connection was held, and a node:tls socket can't be held back`,
    );
    this.#fail(error);
    callForeign(() => this.#stream.destroy(), NOTHING);
    this.#watch!.exceeded(error);
  }

  closeWrite(): Promise<void> {
    if (this.#closed || this.#stream.writableEnded) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#stream.once("close", () => resolve());
      callForeign(() => this.#stream.end(() => resolve()), reject);
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#look !== undefined) this.#watch!.timers.clear(this.#look);
    callForeign(() => this.#stream.destroy(), NOTHING);
    this.#fail(new Deno.errors.BadResource("The stream is closed"));
  }

  ref(): void {
    callForeign(() => this.#stream.ref?.(), NOTHING);
  }

  unref(): void {
    callForeign(() => this.#stream.unref?.(), NOTHING);
  }

  #onReadable = (): void => this.#wake();

  #onEnd = (): void => {
    this.#ended = true;
    this.#wake();
  };

  #onError = (error: Error): void => this.#fail(error);

  #onClose = (): void => {
    this.#fail(new Deno.errors.ConnectionReset("The stream was closed before its end"));
  };

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
    const reject = this.#rejectWrite;
    this.#rejectWrite = undefined;
    reject?.(this.#failure);
  }
}

function address(hostname: string | undefined, port: number | undefined): Deno.Addr | null {
  return hostname === undefined || port === undefined ? null : { transport: "tcp", hostname, port };
}
