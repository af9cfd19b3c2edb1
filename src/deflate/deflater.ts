import { CompressedFrame } from "./compressed_frame.ts";
import { NO_FLUSH, RawZlib, SYNC_FLUSH } from "./raw_zlib.ts";
import { deflaterCache, type ZlibCache } from "./zlib_cache.ts";
import { Fifo } from "../util/fifo.ts";
import { type Sliced, workQueue } from "./work_queue.ts";
import { concat } from "../util/bytes.ts";

/** The most bytes that are compressed at once, or in a turn: about a millisecond's work for most data. */
export const DEFLATE_SLICE: number = 64 * 1024;
/**
 * From this level on slices are shorter, since zlib searches longer: data with many short repetitions, such as random bits
 * in bytes, takes ten times as long as most data.
 */
const THOROUGH = 7;
const THOROUGH_SLICE = 16 * 1024;

/**
 * Room for the compressed form of a slice: zlib adds at most an eighth of the input and some bytes. There is one buffer
 * for all connections: its contents are used before the next call.
 */
let scratch: Uint8Array<ArrayBuffer> | null = null;

/** Parameters of a deflater. */
export interface DeflaterSettings {
  /** Base-two logarithm of the window, 9 to 15. */
  windowBits: number;
  /** Whether the window is kept from one message to the next. */
  takeover: boolean;
  /** zlib's memory level, 1 to 9. */
  memLevel: number;
  /** zlib's compression level, 0 to 9. */
  level: number;
}

/** Called when a frame is complete, with the error if it failed. */
export type DeflateDone = (error: unknown) => void;

/** A job that waits in line to be compressed. */
export interface DeflateJob {
  /** Whether all of it is compressed. */
  readonly complete: boolean;
  /**
   * Compresses the next part.
   *
   * @param deflater The deflater to use; no other job uses it during the call.
   * @param budget Bytes that may be compressed now.
   * @returns The used part of the budget.
   */
  work(deflater: Deflater, budget: number): number;
  /** Called when the job is complete or has failed, unless the deflater is closed before. */
  done(error: unknown): void;
}

/** A payload that becomes a frame of its own. */
class PayloadJob implements DeflateJob {
  complete = false;
  readonly done: DeflateDone;
  readonly #payload: Uint8Array;
  readonly #final: boolean;
  readonly #frame: CompressedFrame;
  #offset = 0;

  constructor(payload: Uint8Array, final: boolean, frame: CompressedFrame, done: DeflateDone) {
    this.#payload = payload;
    this.#final = final;
    this.#frame = frame;
    this.done = done;
  }

  work(deflater: Deflater, budget: number): number {
    const payload = this.#payload, start = this.#offset;
    const end = this.#offset = Math.min(start + budget, payload.length);
    deflater.deflateInto(this.#frame, payload, start, end, this.#final);
    this.complete = end === payload.length;
    return end - start;
  }
}

/**
 * Compresses the messages of one connection (RFC 7692 7.2.1): short ones at once, long ones in turns with those of other
 * connections. While it is {@linkcode busy}, short messages have to wait in line, too. Nothing is allocated before the
 * first message.
 */
export class Deflater implements Sliced {
  /** Payloads up to this length are compressed at once, longer ones in slices of this length. */
  readonly atOnce: number;
  readonly #settings: DeflaterSettings;
  readonly #cache: ZlibCache | null;
  #context: RawZlib | null = null;
  readonly #jobs = new Fifo<DeflateJob>();
  #closed = false;

  /** @param settings The agreed parameters, and our own levels. */
  constructor(settings: DeflaterSettings) {
    const { windowBits, takeover, memLevel, level } = settings;
    this.#settings = settings;
    this.atOnce = level < THOROUGH ? DEFLATE_SLICE : THOROUGH_SLICE;
    this.#cache = takeover ? null : deflaterCache(windowBits, memLevel, level);
  }

  /** Whether payloads wait in line, so that a further one has to wait, too. */
  get busy(): boolean {
    return this.#jobs.length > 0;
  }

  /**
   * Compresses a message or a fragment at once. Only for at most `atOnce` bytes, since more would block the event loop,
   * and only while the deflater isn't busy.
   *
   * @param payload The message or fragment.
   * @param final Whether the message ends with it.
   * @returns The frame's payload, in a buffer that the next call of any deflater overwrites.
   */
  deflate(payload: Uint8Array, final: boolean): Uint8Array {
    const out = scratch ??= new Uint8Array(DEFLATE_SLICE + DEFLATE_SLICE / 4);
    const inputLength = payload.length;
    if (inputLength === 0) {
      if (!final) return out.subarray(0, 0);
      this.#release();
      out[0] = EMPTY_BLOCK;
      return out.subarray(0, 1);
    }
    const context = this.#context ??= this.#take();
    context.run(SYNC_FLUSH, payload, 0, inputLength, out, 0, out.length);
    if (context.outputLeft === 0) return this.#overflow(context, out, payload, final);
    let length = out.length - context.outputLeft;
    if (final) {
      // The 00 00 FF FF of the empty stored block is left out (7.2.1, step 3).
      length -= 4;
      this.#release();
    }
    return out.subarray(0, length);
  }

  /**
   * Compresses a message or fragment after those that wait in line, slice by slice, in turns with other connections.
   *
   * @param payload The message or fragment; it must not change until `done` is called.
   * @param final Whether the message ends with it.
   * @param frame Gets the frame's payload.
   * @param done Called when the frame is complete or has failed, unless the deflater is closed before.
   */
  deflateInTurns(
    payload: Uint8Array,
    final: boolean,
    frame: CompressedFrame,
    done: DeflateDone,
  ): void {
    this.enqueue(new PayloadJob(payload, final, frame, done));
  }

  /** Adds a job after those that wait in line. */
  enqueue(job: DeflateJob): void {
    if (this.#closed) throw deflaterClosed();
    this.#jobs.push(job);
    workQueue.enqueue(this);
  }

  /**
   * Compresses a part of a message or fragment. Called by jobs.
   *
   * @param frame Gets the output.
   * @param payload The whole message or fragment.
   * @param start The start of the part.
   * @param end The end of the part.
   * @param final Whether the message ends with the payload.
   */
  deflateInto(
    frame: CompressedFrame,
    payload: Uint8Array,
    start: number,
    end: number,
    final: boolean,
  ): void {
    if (payload.length > 0) {
      const context = this.#context ??= this.#take();
      const flush = end < payload.length ? NO_FLUSH : SYNC_FLUSH;
      this.#run(context, flush, payload, start, end - start, frame);
      if (end < payload.length) return;
      if (final) frame.dropTail();
    } else if (final) {
      frame.makeRoom();
      frame.chunk[frame.at] = EMPTY_BLOCK;
      frame.advance(1);
    }
    if (final) this.#release();
  }

  /** Does the next slice of the jobs that wait in line; called by the work queue. */
  slice(): boolean {
    try {
      return this.#slice();
    } catch (error) {
      // Most likely zlib has no memory left, so no job can be compressed any more.
      const job = this.#jobs.peek();
      this.close();
      job?.done(error);
      return false;
    }
  }

  #slice(): boolean {
    let budget = this.atOnce;
    while (budget > 0) {
      const job = this.#jobs.peek();
      if (job === undefined) return false;
      budget -= job.work(this, budget);
      if (!job.complete) continue;
      this.#jobs.shift();
      job.done(null);
    }
    return this.#jobs.length > 0;
  }

  /** Drops the jobs and frees the memory. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#jobs.clear();
    workQueue.cancel(this);
    this.#context?.close();
    this.#context = null;
  }

  /** The output has filled the buffer, perhaps exactly: the rest goes to a buffer that grows. */
  #overflow(
    context: RawZlib,
    out: Uint8Array,
    payload: Uint8Array,
    final: boolean,
  ): Uint8Array {
    const start = out.slice();
    const { inputLeft } = context;
    const rest = new CompressedFrame(inputLeft, null);
    this.#run(context, SYNC_FLUSH, payload, payload.length - inputLeft, inputLeft, rest);
    if (final) this.#release();
    const whole = concat([start, ...rest.payload()]);
    return final ? whole.subarray(0, whole.length - 4) : whole;
  }

  #run(
    context: RawZlib,
    flush: number,
    input: Uint8Array,
    offset: number,
    length: number,
    frame: CompressedFrame,
  ): void {
    const end = offset + length;
    do {
      frame.makeRoom();
      const room = frame.chunk.length - frame.at;
      context.run(flush, input, offset, end - offset, frame.chunk, frame.at, room);
      offset = end - context.inputLeft;
      frame.advance(room - context.outputLeft);
    } while (context.outputLeft === 0);
  }

  #take(): RawZlib {
    if (this.#closed) throw deflaterClosed();
    if (this.#cache !== null) return this.#cache.take();
    const { windowBits, memLevel, level } = this.#settings;
    return RawZlib.deflate(windowBits, memLevel, level);
  }

  /** The message is complete: without context takeover the zlib context goes back to the cache. */
  #release(): void {
    if (this.#cache === null || this.#context === null) return;
    this.#cache.put(this.#context);
    this.#context = null;
  }
}

/**
 * zlib writes nothing for a flush right after a flush, but an empty message, or one that ends with an empty fragment, needs
 * a block. This is its first byte; the peer appends the rest (7.2.3.6).
 */
const EMPTY_BLOCK = 0x00;

function deflaterClosed(): Error {
  return new Error("Cannot compress with a closed deflater");
}
