import { INVALID_PAYLOAD, TOO_BIG } from "../protocol/close_code.ts";
import type { Source } from "../protocol/source.ts";
import { violation } from "../protocol/protocol_error.ts";
import { History } from "./history.ts";
import { CorruptDataError, RawZlib, SYNC_FLUSH } from "./raw_zlib.ts";
import { inflaterCache, type ZlibCache } from "./zlib_cache.ts";
import { CALL_COST, CONTEXT_COST, type Sliced, workQueue } from "./work_queue.ts";

/** The most bytes that one slice produces, or consumes, before other connections get their turn. */
const INFLATE_SLICE = 256 * 1024;

/** The length of zlib's output buffer: no more than this is produced before the sink is asked again. */
const OUTPUT_LENGTH = 64 * 1024;
let output: Source | null = null;

/** Appended to a message before it is inflated (RFC 7692 7.2.2). */
const TAIL = Uint8Array.of(0x00, 0x00, 0xff, 0xff);
/** Up to this length, copying a payload and the tail into one buffer is cheaper than a second run of zlib. */
const JOIN_LENGTH = 4096;
let joined: Uint8Array<ArrayBuffer> | null = null;

/** Parameters of an inflater. */
export interface InflaterSettings {
  /** Base-two logarithm of the peer's window, 9 to 15. */
  windowBits: number;
  /** Whether the peer's messages may refer to earlier ones. */
  takeover: boolean;
  /** The longest message in bytes, inclusive; 0: unlimited. */
  maxMessageSize: number;
}

/** Gets inflated messages. */
export interface InflateSink {
  /**
   * Bytes that the sink takes now; read before each run of zlib. With 0 the inflater stops, keeps the rest of the current
   * piece, and continues with {@linkcode Inflater.resume}.
   */
  readonly room: number;
  /**
   * Gets a message's bytes as they are produced.
   *
   * @param source A buffer that is overwritten after the call.
   * @param start The start of the bytes.
   * @param end The end of the bytes, perhaps the same as `start`.
   * @param last Whether the message ends with them.
   */
  inflated(source: Source, start: number, end: number, last: boolean): void;
}

/** Called when a pushed piece is inflated, with the error if it failed. */
export type InflateDone = (error: unknown) => void;

// The outcomes of a slice.
const DONE = 0;
const MORE = 1;
/** The sink has no room: the inflater waits for `resume`. */
const STALLED = 2;

/**
 * Inflates the messages of one connection (RFC 7692 7.2.2), piece by piece as they arrive.
 *
 * Invalid messages throw a `ProtocolError`: 1007 for corrupt data, 1009 for a message that exceeds the limit. No more than
 * one byte beyond the limit is produced. Any other error is an internal one of zlib, such as no memory left. After an
 * error only `close` may be called. Nothing is allocated before the first piece.
 */
export class Inflater implements Sliced {
  readonly #windowBits: number;
  readonly #limit: number;
  readonly #sink: InflateSink;
  readonly #cache: ZlibCache | null;
  #history: History | null = null;
  #context: RawZlib | null = null;
  /** Bytes that the current message has produced so far. */
  #produced = 0;
  /** Whether the current message has any payload so far. */
  #begun = false;
  /** Whether a block of the current message had BFINAL set: the rest of the message is ignored. */
  #ended = false;
  #closed = false;

  // The current piece:
  #input: Uint8Array = TAIL;
  #offset = 0;
  #end = 0;
  #final = false;
  /** Whether the tail still has to be inflated after the input. */
  #tail = false;
  #done: InflateDone | null = null;
  /** Whether it waits for the sink's room, and not for its turn. */
  #stalled = false;

  /**
   * @param settings The agreed parameters, and the limit.
   * @param sink Gets the messages.
   */
  constructor(settings: InflaterSettings, sink: InflateSink) {
    const { windowBits, takeover, maxMessageSize } = settings;
    this.#windowBits = windowBits;
    this.#limit = maxMessageSize === 0 ? Infinity : maxMessageSize;
    this.#sink = sink;
    this.#cache = takeover ? null : inflaterCache(windowBits);
  }

  /** Whether a piece is being inflated in turns, or waits for room. */
  get busy(): boolean {
    return this.#done !== null;
  }

  /**
   * Inflates the next piece of a message: a part of a frame's payload, or all of it. After a slice it continues in turns with
   * other connections; without room in the sink it waits for {@linkcode resume}. Until the piece is done, no other may be
   * pushed.
   *
   * @param bytes The buffer with the piece. The caller may reuse it after the call.
   * @param start The start of the piece.
   * @param end The end of the piece.
   * @param final Whether the message ends with it.
   * @param done Called when the piece is done, if this function returned false and `close` wasn't called before.
   * @returns Whether the whole piece has been inflated.
   * @throws {ProtocolError} If the data is corrupt or the message exceeds the limit.
   * @throws {Error} If zlib fails.
   */
  push(
    bytes: Uint8Array,
    start: number,
    end: number,
    final: boolean,
    done: InflateDone,
  ): boolean {
    const length = end - start;
    this.#final = final;
    this.#setInput(bytes, start, end);
    if (length > 0) this.#begun = true;
    // A compressed message without payload can't result from 7.2.1, but it clearly means an empty message. The tail
    // alone would be read as the start of a block.
    this.#tail = final && this.#begun;
    if (this.#tail && length <= JOIN_LENGTH) {
      const buffer = joined ??= new Uint8Array(JOIN_LENGTH + TAIL.length);
      buffer.set(bytes.subarray(start, end));
      buffer.set(TAIL, length);
      this.#setInput(buffer, 0, length + TAIL.length);
      this.#tail = false;
    }
    const outcome = workQueue.withinBudget ? this.#work() : MORE;
    if (outcome === DONE) {
      this.#input = TAIL;
      return true;
    }
    // The caller reuses its buffer, so the rest is copied.
    this.#keepInput();
    this.#done = done;
    if (outcome === STALLED) this.#stalled = true;
    else workQueue.enqueue(this);
    return false;
  }

  /**
   * Continues if it waits for room and the sink has some now; does nothing otherwise. The sink gets its bytes in a later
   * turn of the event loop, never within this call.
   */
  resume(): void {
    if (!this.#stalled || this.#capacity() <= 0) return;
    this.#stalled = false;
    workQueue.enqueue(this);
  }

  /** Does the next slice of the current piece; called by the work queue. */
  slice(): boolean {
    const done = this.#done;
    if (done === null) return false;
    let error: unknown = null;
    try {
      const outcome = this.#work();
      if (outcome === MORE) return true;
      if (outcome === STALLED) {
        this.#stalled = true;
        return false;
      }
    } catch (problem) {
      error = problem;
    }
    // The sink may have closed this inflater during the slice.
    if (this.#done !== done) return false;
    this.#done = null;
    this.#input = TAIL;
    done(error);
    return false;
  }

  /** Drops the current piece and frees the memory. */
  close(): void {
    if (this.#done !== null) {
      this.#done = null;
      this.#stalled = false;
      workQueue.cancel(this);
    }
    this.#release();
  }

  #release(): void {
    this.#closed = true;
    this.#context?.close();
    this.#context = null;
    this.#history = null;
    this.#input = TAIL;
  }

  #setInput(bytes: Uint8Array, start: number, end: number): void {
    this.#input = bytes;
    this.#offset = start;
    this.#end = end;
  }

  #keepInput(): void {
    const rest = this.#input.slice(this.#offset, this.#end);
    this.#setInput(rest, 0, rest.length);
  }

  /** Does one slice; returns its outcome. */
  #work(): number {
    const out = output ??= makeOutput();
    const context = this.#context ??= this.#take();
    let used = 0;
    let capacity = this.#capacity();
    let budget = INFLATE_SLICE;
    for (;;) {
      if (!this.#ended) {
        if (capacity <= 0) return STALLED;
        const room = Math.min(capacity - used, this.#limit + 1 - this.#produced);
        const length = Math.min(this.#end - this.#offset, INFLATE_SLICE);
        this.#run(context, length, out.bytes, used, room);
        const produced = room - context.outputLeft;
        used += produced;
        this.#produced += produced;
        const consumed = length - context.inputLeft;
        this.#offset += consumed;
        const cost = Math.max(produced, consumed) + CALL_COST;
        budget -= cost;
        workQueue.charge(cost);
        if (this.#produced > this.#limit) {
          this.#release();
          throw violation(
            TOO_BIG,
            "message-too-big",
            `Message exceeds ${this.#limit} bytes when inflated`,
          );
        }
        if (context.outputLeft === 0) {
          // The buffer is full: zlib may have more output, even if no input is left.
          this.#emit(out, used);
          if (this.#closed) return DONE;
          if (budget <= 0) return MORE;
          used = 0;
          capacity = this.#capacity();
          continue;
        }
        // If output has room, zlib leaves input only after a final block.
        if (context.inputLeft > 0) this.#ended = true;
      }
      if (this.#ended) {
        this.#tail = false;
      } else if (this.#offset < this.#end) {
        if (budget > 0) continue;
        if (used > 0) this.#emit(out, used);
        return this.#closed ? DONE : MORE;
      } else if (this.#tail) {
        this.#tail = false;
        this.#setInput(TAIL, 0, TAIL.length);
        continue;
      }
      this.#finish(context, out, used);
      return DONE;
    }
  }

  /** Bytes of the output buffer that may be filled now. */
  #capacity(): number {
    const { room } = this.#sink;
    return room >= OUTPUT_LENGTH ? OUTPUT_LENGTH : Math.floor(room);
  }

  /** The current piece is done. */
  #finish(context: RawZlib, out: Source, used: number): void {
    if (!this.#final) {
      if (used > 0) this.#emit(out, used);
      return;
    }
    this.#produced = 0;
    this.#begun = false;
    if (this.#cache !== null) {
      this.#context = null;
      this.#cache.put(context);
    } else {
      this.#history!.add(out.bytes, used);
      if (this.#ended) this.#revive(context);
    }
    this.#ended = false;
    this.#sink.inflated(out, 0, used, true);
  }

  /** Passes on output that isn't the end of the message. */
  #emit(out: Source, used: number): void {
    if (this.#cache === null) this.#history!.add(out.bytes, used);
    // The sink may push messages of other connections, which use the same buffer.
    if (this.#input === joined) this.#keepInput();
    this.#sink.inflated(out, 0, used, false);
  }

  /** Resets a context after a final block, and restores its window. */
  #revive(context: RawZlib): void {
    context.reset();
    const history = this.#history!;
    // A peer can cause this with every message of a few bytes: 19 µs with a full window, measured.
    workQueue.charge(CONTEXT_COST + history.length);
    if (history.length === 0) return;
    // This output isn't needed, but the shared buffer is still in use. A window is 32 KiB at most.
    const nowhere = new Uint8Array(history.length);
    let at = 0;
    for (const piece of history.storedBlock()) {
      context.run(SYNC_FLUSH, piece, 0, piece.length, nowhere, at, nowhere.length - at);
      at = nowhere.length - context.outputLeft;
    }
  }

  #run(context: RawZlib, length: number, out: Uint8Array, used: number, room: number): void {
    try {
      context.run(SYNC_FLUSH, this.#input, this.#offset, length, out, used, room);
    } catch (error) {
      this.#release();
      if (!(error instanceof CorruptDataError)) throw error;
      throw violation(
        INVALID_PAYLOAD,
        "invalid-compression",
        `Compressed message is corrupt: ${error.message}`,
      );
    }
  }

  #take(): RawZlib {
    if (this.#closed) throw new Error("Cannot inflate with a closed inflater");
    if (this.#cache !== null) return this.#cache.take();
    workQueue.charge(CONTEXT_COST);
    this.#history = new History(this.#windowBits);
    return RawZlib.inflate(this.#windowBits);
  }
}

function makeOutput(): Source {
  const bytes = new Uint8Array(OUTPUT_LENGTH);
  return { bytes, view: new DataView(bytes.buffer) };
}
