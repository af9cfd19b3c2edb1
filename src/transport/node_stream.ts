import type { Duplex } from "node:stream";
import { callForeign, whenSettled } from "../util/foreign.ts";
import { CallbackTimer, type Timers } from "../util/timers.ts";
import { inNextTurn } from "../util/turns.ts";
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
 * A Node stream as a transport: the socket of a `node:http` upgrade, of `node:net`, or any other `Duplex` of bytes. It
 * reports readiness both ways.
 *
 * The stream flows while it is read, so that what a socket has received is handled within the same call, and is paused
 * with the first chunk that nobody waits for beside another one. What it is given to write counts as taken when the
 * stream has nothing left of it, which for a socket means that the kernel has it; mostly that is so at once.
 */
export class NodeStreamTransport implements Transport {
  readonly #stream: Duplex & SocketExtras;
  #rest: Uint8Array | undefined;
  #paused = true;
  #ended = false;
  #failure: Error | undefined;
  #closed = false;
  #wakeReader: (() => void) | undefined;
  #piece = SLOW_WRITE;
  #writing = 0; // bytes that the stream was given, and that don't count as taken yet
  #since = 0; // when it was given them
  #called = false; // it has called back
  #wakeWriter: (() => void) | undefined;
  readonly #watch: HeldWatch | undefined;
  readonly #look: CallbackTimer | undefined;
  #given: number;

  /**
   * @param stream The stream; ours from now on.
   * @param watch Notified of a `node:tls` socket that has received too much while it wasn't read; without it there is
   * no limit.
   * @param half Whether a direction may have ended already.
   * @throws {TypeError} If it carries objects or has been destroyed or ended, and then it is left as it was.
   */
  constructor(stream: Duplex, watch?: HeldWatch, half = false) {
    if (stream.readableObjectMode || stream.writableObjectMode) {
      throw new TypeError("Cannot take over a stream of objects: it must carry bytes");
    }
    if (stream.destroyed || (!half && (stream.writableEnded || stream.readableEnded))) {
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
    stream.on("end", () => this.ended());
    stream.on("close", this.#onClose);
    // Paused before there is a listener, it doesn't flow by itself, and nothing is lost.
    callForeign(() => stream.pause(), NOTHING);
    stream.on("data", this.#onData);
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
      const count = this.tryRead(into);
      if (count !== 0) return count;
      await new Promise<void>((resolve) => this.whenReadable(resolve));
    }
  }

  tryRead(into: Uint8Array): number | null {
    const chunk = this.#rest;
    if (chunk === undefined) {
      if (this.#ended) return null;
      if (this.#failure) throw this.#failure;
      return 0;
    }
    if (this.#look !== undefined) this.#lookSoon();
    const length = Math.min(chunk.length, into.length);
    this.#given += length;
    this.#rest = copyInto(into, chunk);
    return length;
  }

  whenReadable(ready: () => void): void {
    this.#wakeReader = ready;
    if (this.#rest !== undefined || this.#ended || this.#failure !== undefined) {
      queueMicrotask(() => this.#wake());
    } else if (this.#paused) {
      this.#paused = false;
      callForeign(() => this.#stream.resume(), this.#onError);
    }
  }

  async write(data: Uint8Array): Promise<number> {
    for (;;) {
      const count = this.tryWrite(data);
      if (count > 0) return count;
      await new Promise<void>((resolve) => this.whenWritable(resolve));
    }
  }

  /** What the stream was given, and has called back for later, counts with the next call: its data begin with it. */
  tryWrite(data: Uint8Array): number {
    if (this.#failure) throw this.#failure;
    const stream = this.#stream;
    let taken = this.#writing;
    if (taken > 0) {
      if (!this.#all) return 0;
      this.#writing = 0;
      if (performance.now() - this.#since > QUICK) this.#piece = SLOW_WRITE;
      else this.#quick(taken);
    }
    while (taken < data.length) {
      const end = Math.min(data.length, taken + this.#piece), length = end - taken;
      const piece = length === data.length ? data : data.subarray(taken, end);
      this.#called = false;
      whenSettled(stream.write(piece, this.#onTaken), this.#onError);
      if (!this.#all) {
        this.#writing = length;
        this.#since = performance.now();
        break;
      }
      taken = end;
      this.#quick(length);
    }
    return taken;
  }

  /** Whether the stream has nothing left of what it was given; one that can't say so says it by its callback. */
  get #all(): boolean {
    return this.#called || this.#stream.writableLength === 0;
  }

  #quick(length: number): void {
    if (length === this.#piece) this.#piece = Math.min(2 * length, WRITE_LIMIT);
  }

  whenWritable(ready: () => void): void {
    this.#wakeWriter = ready;
    if (this.#writing === 0 || this.#called || this.#failure !== undefined) {
      inNextTurn(() => this.#wakeUpWriter());
    }
  }

  readonly #onTaken = (error?: Error | null): void => {
    if (error) {
      this.#writing = 0;
      return this.fail(error);
    }
    // It may be the callback of a write before the one that is under way.
    if (this.#stream.writableLength > 0) return;
    this.#called = true;
    this.#wakeUpWriter();
  };

  #wakeUpWriter(): void {
    const wake = this.#wakeWriter;
    this.#wakeWriter = undefined;
    wake?.();
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
    this.fail(error);
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
    this.fail(new Deno.errors.BadResource("The stream is closed"));
  }

  ref(): void {
    callForeign(() => this.#stream.ref?.(), NOTHING);
  }

  unref(): void {
    callForeign(() => this.#stream.unref?.(), NOTHING);
  }

  readonly #onData = (chunk: Uint8Array): void => {
    if (this.#rest === undefined) {
      this.#rest = chunk;
      this.#wake();
      return;
    }
    this.#paused = true;
    callForeign(() => {
      this.#stream.pause();
      this.#stream.unshift(chunk);
    }, this.#onError);
  };

  readonly #onError = (error: unknown): void => this.fail(error as Error);

  readonly #onClose = (): void => {
    this.fail(new Deno.errors.ConnectionReset("The stream was closed before its end"));
  };

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }

  /** Whether the stream was given something that it hasn't called back for. */
  protected get writing(): boolean {
    return this.#writing > 0 && !this.#called;
  }

  /** The other end's direction has ended. */
  protected ended(): void {
    this.#ended = true;
    this.#wake();
  }

  /** The stream is of no use any more. */
  protected fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
    this.#wakeUpWriter();
  }
}

function address(hostname: string | undefined, port: number | undefined): Deno.Addr | null {
  return hostname === undefined || port === undefined ? null : { transport: "tcp", hostname, port };
}
