import { INVALID_PAYLOAD, TOO_BIG } from "../protocol/close_code.ts";
import type { Source } from "../protocol/frame_decoder.ts";
import { ProtocolError } from "../protocol/protocol_error.ts";
import { History } from "./history.ts";
import { CorruptDataError, RawZlib, SYNC_FLUSH } from "./raw_zlib.ts";
import { inflaterCache, type ZlibCache } from "./zlib_cache.ts";
import {
  CALL_COST,
  cancel,
  charge,
  CONTEXT_COST,
  enqueue,
  type Sliced,
  withinBudget,
} from "./work_queue.ts";

/** What one slice produces, or uses up, at most before others get their turn. */
const INFLATE_SLICE = 256 * 1024;

/** zlib fills this, and the sink empties it; so no more than this is ever produced unasked. */
const OUTPUT_LENGTH = 64 * 1024;
let output: Source | null = null;

/** What 7.2.2 appends to a message before it is inflated. */
const TAIL = Uint8Array.of(0x00, 0x00, 0xff, 0xff);
/** Up to this length, copying a payload in front of the tail is cheaper than a second run of zlib. */
const JOIN_LENGTH = 4096;
let joined: Uint8Array<ArrayBuffer> | null = null;

/** How an inflater works. */
export interface InflaterSettings {
  /** Base-two logarithm of the peer's window, 9 to 15. */
  windowBits: number;
  /** Whether the peer's messages may refer to earlier ones. */
  takeover: boolean;
  /** The longest message in bytes, inclusive; 0: unlimited. */
  maxMessageSize: number;
}

/** Where inflated messages go. */
export interface InflateSink {
  /**
   * Bytes that the sink takes now, read before anything is inflated for it. With 0 the inflater stops, keeps what is
   * left of the piece at hand, and goes on with {@linkcode Inflater.resume}.
   */
  readonly room: number;
  /**
   * Gets a message's bytes as they are produced.
   *
   * @param source A buffer that is overwritten after the call.
   * @param start Where the next bytes start in it.
   * @param end Where they end; they may be none.
   * @param last Whether the message ends with them.
   */
  inflated(source: Source, start: number, end: number, last: boolean): void;
}

/** Called when all that was pushed is inflated, with the error if it failed. */
export type InflateDone = (error: unknown) => void;

// What became of a slice.
const DONE = 0;
const MORE = 1;
/** The sink has no room: nothing is done before `resume`. */
const STALLED = 2;

/**
 * Inflates the messages of one connection (RFC 7692 7.2.2), piece by piece as they arrive.
 *
 * Everything that is wrong with them is a `ProtocolError`: 1007 for corrupt data, 1009 for a message
 * that exceeds the limit, of which no more than one byte beyond the limit is produced. Any other error
 * is zlib's, which may have no memory left. After an error only `close` may be called. Nothing is allocated before the first piece.
 */
export class Inflater implements Sliced {
  readonly #windowBits: number;
  readonly #limit: number;
  readonly #sink: InflateSink;
  readonly #cache: ZlibCache | null;
  #history: History | null = null;
  #context: RawZlib | null = null;
  /** What the message at hand has produced so far. */
  #produced = 0;
  /** Whether the message at hand has brought any byte. */
  #begun = false;
  /** Whether a block of the message at hand had BFINAL set: what follows in it is ignored. */
  #ended = false;
  #closed = false;

  // The piece at hand:
  #input: Uint8Array = TAIL;
  #offset = 0;
  #end = 0;
  #final = false;
  /** Whether the tail is still to come after the input. */
  #tail = false;
  #done: InflateDone | null = null;
  /** Whether it waits for room rather than for its turn. */
  #stalled = false;

  /**
   * @param settings What was agreed, and the limit.
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
   * Inflates the next piece of a message: part of a frame's payload, or all of it. What takes longer
   * than a slice goes on in turns with other connections, and what the sink has no room for waits for
   * {@linkcode resume}; until all of it is done nothing may be pushed.
   *
   * @param bytes Holds the piece. It is the caller's again on return.
   * @param start Where the piece starts.
   * @param end Where it ends.
   * @param final Whether the message ends with it.
   * @param done Called when it is done, if this function returned false and `close` wasn't called before.
   * @returns Whether all of it has been inflated.
   * @throws {ProtocolError} If the data are corrupt or the message exceeds the limit.
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
    // A message without any byte isn't one that 7.2.1 can produce, but what it means is plain, and
    // the tail alone would be taken for the start of a block.
    this.#tail = final && this.#begun;
    if (this.#tail && length <= JOIN_LENGTH) {
      const buffer = joined ??= new Uint8Array(JOIN_LENGTH + TAIL.length);
      buffer.set(bytes.subarray(start, end));
      buffer.set(TAIL, length);
      this.#setInput(buffer, 0, length + TAIL.length);
      this.#tail = false;
    }
    const outcome = withinBudget() ? this.#work() : MORE;
    if (outcome === DONE) {
      this.#input = TAIL;
      return true;
    }
    // The rest of it has to outlive the caller's buffer.
    this.#keepInput();
    this.#done = done;
    if (outcome === STALLED) this.#stalled = true;
    else enqueue(this);
    return false;
  }

  /**
   * Goes on if it has stopped for want of room and there is some now; does nothing otherwise. The sink gets its bytes
   * in a later turn of the event loop, never within this call.
   */
  resume(): void {
    if (!this.#stalled || this.#capacity() <= 0) return;
    this.#stalled = false;
    enqueue(this);
  }

  /** Does the next slice of what was pushed; called by the turns. */
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
    // A caller that has closed it in the meantime isn't called.
    if (this.#done !== done) return false;
    this.#done = null;
    this.#input = TAIL;
    done(error);
    return false;
  }

  /** Stops what is under way and gives the memory back. */
  close(): void {
    if (this.#done !== null) {
      this.#done = null;
      this.#stalled = false;
      cancel(this);
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

  /** One slice. Returns what became of it. */
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
        charge(cost);
        if (this.#produced > this.#limit) {
          this.#release();
          throw new ProtocolError(
            TOO_BIG,
            "message-too-big",
            `Message exceeds ${this.#limit} bytes when inflated`,
          );
        }
        if (context.outputLeft === 0) {
          // The buffer is full; there may be more where this came from, even if no input is left.
          this.#emit(out, used);
          if (this.#closed) return DONE;
          if (budget <= 0) return MORE;
          used = 0;
          capacity = this.#capacity();
          continue;
        }
        // zlib stops short of its input with room to spare only after a final block.
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

  /** How far the output may be filled. */
  #capacity(): number {
    const { room } = this.#sink;
    return room >= OUTPUT_LENGTH ? OUTPUT_LENGTH : Math.floor(room);
  }

  /** The piece at hand is through. */
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

  /** Hands on what isn't the end of the message. */
  #emit(out: Source, used: number): void {
    if (this.#cache === null) this.#history!.add(out.bytes, used);
    // The sink may lead to another connection's messages, which use that buffer too.
    if (this.#input === joined) this.#keepInput();
    this.#sink.inflated(out, 0, used, false);
  }

  /** Makes a context that has seen a final block go on with the window that it had. */
  #revive(context: RawZlib): void {
    context.reset();
    const history = this.#history!;
    // A peer may ask for this with every message of a few bytes: measured, 19 µs with a full window.
    charge(CONTEXT_COST + history.length);
    if (history.length === 0) return;
    // The output is not wanted, and `out` is still in use; a window is 32 KiB at most.
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
      throw new ProtocolError(
        INVALID_PAYLOAD,
        "invalid-compression",
        `Compressed message is corrupt: ${error.message}`,
      );
    }
  }

  #take(): RawZlib {
    if (this.#closed) throw new Error("Cannot inflate with a closed inflater");
    if (this.#cache !== null) return this.#cache.take();
    charge(CONTEXT_COST);
    this.#history = new History(this.#windowBits);
    return RawZlib.inflate(this.#windowBits);
  }
}

function makeOutput(): Source {
  const bytes = new Uint8Array(OUTPUT_LENGTH);
  return { bytes, view: new DataView(bytes.buffer) };
}
