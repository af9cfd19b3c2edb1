import type { Duplex } from "node:stream";
import { callForeign, whenSettled } from "../util/foreign.ts";
import { CallbackTimer, type Timers } from "../util/timers.ts";
import { inNextTurn } from "../util/turns.ts";
import { copyInto, WRITE_LIMIT } from "./stream_io.ts";
import type { Transport } from "./transport.ts";

/**
 * A stream reports a write only when all of it has been taken. So to a slow stream, or one whose speed isn't known yet, at
 * most this many bytes are written at once.
 */
const SLOW_WRITE = 4 * 1024;
/** A write that takes longer than this, in ms, is slow. */
const QUICK = 50;

/**
 * The most bytes that a stream may receive while it isn't read. A TCP socket stops at its high-water mark, far below. A
 * `node:tls` socket continues reading natively even if it is paused.
 */
const HELD_LIMIT: number = 16 * 1024 * 1024;
/** The interval in ms for checking how much a stream that isn't read has received. */
const LOOK = 50;

/** Watches a stream that may receive data while it isn't read. */
export interface HeldWatch {
  /** The timers to use. */
  readonly timers: Timers;
  /** Called when {@linkcode HELD_LIMIT} was exceeded, and the stream has been destroyed. */
  exceeded(error: Error): void;
}

const IGNORE = () => {};
const TRANSPORT = Symbol("transport");

/** A stream that was taken over. Its listeners, which are the same for all streams, find its transport by this. */
interface TakenStream {
  [TRANSPORT]: NodeStreamTransport;
}

/** Whether a stream is a transport's already. */
export function isTaken(stream: Duplex): boolean {
  return TRANSPORT in stream;
}

/** The members that a `net.Socket` has in addition to a `Duplex`; any of them may be missing. */
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
  /** Set on a `node:tls` socket. */
  encrypted?: boolean;
  /** The TCP socket below a `node:tls` socket. */
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
 * reports readiness in both directions.
 *
 * The stream flows while it is read, so that bytes of a socket are handled within the call that brings them. It is paused
 * when a second chunk comes before the first one is read. Written bytes count as taken when the stream has none of them
 * left, which for a socket means that the kernel has them; mostly that is so at once.
 */
export class NodeStreamTransport implements Transport {
  static readonly #listeners = {
    data(this: TakenStream, chunk: Uint8Array): void {
      this[TRANSPORT].#received(chunk);
    },
    end(this: TakenStream): void {
      this[TRANSPORT].ended();
    },
    error(this: TakenStream, error: Error): void {
      this[TRANSPORT].fail(error);
    },
    close(this: TakenStream): void {
      const error = new Deno.errors.ConnectionReset("The stream was closed before its end");
      this[TRANSPORT].fail(error);
    },
  };

  readonly #stream: Duplex & SocketExtras;
  #rest: Uint8Array | undefined;
  #paused = true;
  #ended = false;
  #failure: Error | undefined;
  #closed = false;
  #wakeReader: (() => void) | undefined;
  #piece = SLOW_WRITE;
  #writing = 0; // bytes that were written to the stream and don't count as taken yet
  #since = 0; // when they were written
  #called = false; // the stream has called back for them
  #wakeWriter: (() => void) | undefined;
  // Made for the first write: many connections are silent.
  #onTaken: ((error?: Error | null) => void) | undefined;
  #onError: ((error: unknown) => void) | undefined;
  readonly #watch: HeldWatch | undefined;
  readonly #look: CallbackTimer | undefined;
  #given: number;

  /**
   * @param stream The stream, which this object now owns.
   * @param watch Notified if a `node:tls` socket has received too much while it wasn't read; without it there is no limit.
   * @param half Whether the stream may be half-closed already.
   * @throws {TypeError} If the stream carries objects, or has been destroyed or ended. It is then unchanged.
   */
  constructor(stream: Duplex, watch?: HeldWatch, half = false) {
    if (stream.readableObjectMode || stream.writableObjectMode) {
      throw new TypeError("Cannot take over a stream of objects: it must carry bytes");
    }
    if (stream.destroyed || (!half && (stream.writableEnded || stream.readableEnded))) {
      throw new TypeError("Cannot take over a stream that has been closed");
    }
    if (isTaken(stream)) throw new TypeError("Cannot take over a stream that has been taken over");
    if (stream.readableEncoding !== null && stream.readableEncoding !== undefined) {
      throw new TypeError("Cannot take over a stream that has been set to decode text");
    }
    this.#stream = Object.assign(stream, { [TRANSPORT]: this });
    // Bytes that the former owner has read count as given.
    this.#given = (this.#stream.bytesRead ?? 0) - stream.readableLength;
    // The end of the peer's direction must not end ours: our close frame may still have to be sent.
    stream.allowHalfOpen = true;
    callForeign(() => this.#stream.setNoDelay?.(true), IGNORE);
    callForeign(() => this.#stream.setTimeout?.(0), IGNORE);
    const { data, end, error, close } = NodeStreamTransport.#listeners;
    stream.on("error", error);
    stream.on("end", end);
    stream.on("close", close);
    // Paused before a listener is added, so that the stream doesn't start to flow and no chunk is lost.
    callForeign(() => stream.pause(), IGNORE);
    stream.on("data", data);
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
      callForeign(() => this.#stream.resume(), (error) => this.fail(error as Error));
    }
  }

  async write(data: Uint8Array): Promise<number> {
    for (;;) {
      const count = this.tryWrite(data);
      if (count > 0) return count;
      await new Promise<void>((resolve) => this.whenWritable(resolve));
    }
  }

  /** Bytes that the stream took later, by its callback, count with the next call, whose data begins with them. */
  tryWrite(data: Uint8Array): number {
    if (this.#failure) throw this.#failure;
    const stream = this.#stream;
    const onTaken = this.#onTaken ??= (error) => this.#taken(error);
    const onError = this.#onError ??= (error) => this.fail(error as Error);
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
      whenSettled(stream.write(piece, onTaken), onError);
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

  /** Whether the stream has taken all written bytes, by its `writableLength` or by its callback. */
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

  #taken(error: Error | null | undefined): void {
    if (error) {
      this.#writing = 0;
      return this.fail(error);
    }
    // It may be the callback of an earlier write.
    if (this.#stream.writableLength > 0) return;
    this.#called = true;
    this.#wakeUpWriter();
  }

  #wakeUpWriter(): void {
    const wake = this.#wakeWriter;
    this.#wakeWriter = undefined;
    wake?.();
  }

  #lookSoon(): void {
    if (this.#look!.index < 0) this.#watch!.timers.set(this.#look!, LOOK);
  }

  #checkHeld(): void {
    // While a read is pending nothing is held. The next read that returns bytes arms the timer again.
    if (this.#closed || this.#failure !== undefined || this.#wakeReader !== undefined) return;
    if (this.#stream.bytesRead! - this.#given <= HELD_LIMIT) {
      this.#lookSoon();
      return;
    }
    const error = new Error(
      `More than ${HELD_LIMIT} bytes arrived while the connection was held, and reading a node:tls socket can't be stopped`,
    );
    this.fail(error);
    callForeign(() => this.#stream.destroy(), IGNORE);
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
    callForeign(() => this.#stream.destroy(), IGNORE);
    this.fail(new Deno.errors.BadResource("The stream is closed"));
  }

  ref(): void {
    callForeign(() => this.#stream.ref?.(), IGNORE);
  }

  unref(): void {
    callForeign(() => this.#stream.unref?.(), IGNORE);
  }

  #received(chunk: Uint8Array): void {
    if (this.#rest === undefined) {
      this.#rest = chunk;
      this.#wake();
      return;
    }
    this.#paused = true;
    callForeign(() => {
      this.#stream.pause();
      this.#stream.unshift(chunk);
    }, (error) => this.fail(error as Error));
  }

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }

  /** Whether the stream has been given bytes that it hasn't called back for. */
  protected get writing(): boolean {
    return this.#writing > 0 && !this.#called;
  }

  /** The other end's direction has ended. */
  protected ended(): void {
    this.#ended = true;
    this.#wake();
  }

  /** The stream can't be used any more. */
  protected fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
    this.#wakeUpWriter();
  }
}

function address(hostname: string | undefined, port: number | undefined): Deno.Addr | null {
  return hostname === undefined || port === undefined ? null : { transport: "tcp", hostname, port };
}
