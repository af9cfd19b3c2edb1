import { NO_FLUSH, RawZlib, SYNC_FLUSH } from "./raw_zlib.ts";
import { deflaterShelf, type Shelf } from "./shelf.ts";
import { leaveTurns, type Sliced, takeTurns } from "./turns.ts";

/** Payloads up to this length are compressed at once, longer ones in turns of so many bytes. */
export const DEFLATE_SLICE: number = 64 * 1024;

/**
 * Room for what a slice can become: zlib's bound for data that don't compress is an eighth more and
 * some bytes. Shared, since what is in it is gone with the next call; a connection that compresses
 * nothing costs nothing.
 */
let scratch: Uint8Array<ArrayBuffer> | null = null;

/** How a deflater compresses. */
export interface DeflaterSettings {
  /** Base-two logarithm of the window, 9 to 15. */
  windowBits: number;
  /** Whether the window lives on from one message to the next. */
  takeover: boolean;
  /** zlib's memory level, 1 to 9. */
  memLevel: number;
  /** zlib's compression level, 0 to 9. */
  level: number;
}

/** Gets the compressed payload in pieces, and their total length. */
export type DeflateDone = (pieces: Uint8Array[], length: number) => void;

interface Job {
  payload: Uint8Array;
  offset: number;
  final: boolean;
  pieces: Uint8Array[];
  done: DeflateDone;
}

/**
 * Compresses the messages of one connection (RFC 7692 7.2.1).
 *
 * One payload at a time: while {@linkcode busy}, the caller holds back what comes after. Nothing is
 * allocated before the first payload.
 */
export class Deflater implements Sliced {
  readonly #settings: DeflaterSettings;
  readonly #shelf: Shelf | null;
  #context: RawZlib | null = null;
  #job: Job | null = null;
  #closed = false;

  /** @param settings What was agreed, and the levels of our choice. */
  constructor(settings: DeflaterSettings) {
    const { windowBits, takeover, memLevel, level } = settings;
    this.#settings = settings;
    this.#shelf = takeover ? null : deflaterShelf(windowBits, memLevel, level);
  }

  /** Whether a payload is being compressed in turns. */
  get busy(): boolean {
    return this.#job !== null;
  }

  /**
   * Compresses a message, or a fragment of one, at once. For at most `DEFLATE_SLICE` bytes; more
   * would hold up the event loop.
   *
   * @param payload The message or fragment.
   * @param final Whether the message ends with it.
   * @returns The frame's payload, in a buffer that the next call of any deflater overwrites.
   */
  deflate(payload: Uint8Array, final: boolean): Uint8Array {
    const out = scratch ??= new Uint8Array(DEFLATE_SLICE + DEFLATE_SLICE / 4);
    if (payload.length === 0) return this.#empty(final, out);
    const context = this.#context ??= this.#take();
    context.run(SYNC_FLUSH, payload, 0, payload.length, out, 0, out.length);
    if (context.outputLeft === 0) return this.#overflow(context, out, payload, final);
    let length = out.length - context.outputLeft;
    if (final) {
      // 7.2.1, step 3: the empty stored block's 00 00 FF FF is left out.
      length -= 4;
      if (this.#shelf !== null) this.#putBack();
    }
    return out.subarray(0, length);
  }

  /**
   * Compresses a long message or fragment, slice by slice, taking turns with other connections.
   *
   * @param payload The message or fragment; nobody may write to it until it is done.
   * @param final Whether the message ends with it.
   * @param done Gets the frame's payload. It isn't called if the deflater is closed before.
   */
  deflateInTurns(payload: Uint8Array, final: boolean, done: DeflateDone): void {
    this.#job = { payload, offset: 0, final, pieces: [], done };
    takeTurns(this);
  }

  /** Does the next slice of what `deflateInTurns` was given; called by the turns. */
  slice(): boolean {
    const job = this.#job;
    if (job === null) return false;
    const { payload, offset, final, pieces } = job;
    const length = Math.min(DEFLATE_SLICE, payload.length - offset);
    job.offset += length;
    const more = job.offset < payload.length;
    if (payload.length === 0) {
      pieces.push(this.#empty(final, scratch ??= new Uint8Array(DEFLATE_SLICE)).slice());
    } else {
      const context = this.#context ??= this.#take();
      this.#collect(context, more ? NO_FLUSH : SYNC_FLUSH, payload, offset, length, pieces);
    }
    if (more) return true;
    if (final && payload.length > 0) {
      dropTail(pieces);
      if (this.#shelf !== null) this.#putBack();
    }
    this.#job = null;
    let total = 0;
    for (const piece of pieces) total += piece.length;
    job.done(pieces, total);
    return false;
  }

  /** Stops what is under way and gives the memory back. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#job !== null) {
      this.#job = null;
      leaveTurns(this);
    }
    this.#context?.close();
    this.#context = null;
  }

  /**
   * zlib writes nothing for a flush right after a flush, but a message that ends with an empty
   * fragment, or is empty, needs a block: one byte (7.2.3.6), the rest of which the peer appends.
   */
  #empty(final: boolean, out: Uint8Array): Uint8Array {
    if (!final) return out.subarray(0, 0);
    if (this.#shelf !== null) this.#putBack();
    out[0] = 0;
    return out.subarray(0, 1);
  }

  /** The output fills the buffer, perhaps by chance: get the rest, which makes it a buffer of its own. */
  #overflow(
    context: RawZlib,
    out: Uint8Array,
    payload: Uint8Array,
    final: boolean,
  ): Uint8Array {
    const pieces = [out.slice()];
    const { inputLeft } = context;
    this.#collect(context, SYNC_FLUSH, payload, payload.length - inputLeft, inputLeft, pieces);
    if (final) {
      dropTail(pieces);
      if (this.#shelf !== null) this.#putBack();
    }
    let total = 0;
    for (const piece of pieces) total += piece.length;
    const whole = new Uint8Array(total);
    let at = 0;
    for (const piece of pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }

  #collect(
    context: RawZlib,
    flush: number,
    input: Uint8Array,
    offset: number,
    length: number,
    pieces: Uint8Array[],
  ): void {
    const out = scratch ??= new Uint8Array(DEFLATE_SLICE + DEFLATE_SLICE / 4);
    const end = offset + length;
    do {
      context.run(flush, input, offset, end - offset, out, 0, out.length);
      offset = end - context.inputLeft;
      if (context.outputLeft < out.length) {
        pieces.push(out.slice(0, out.length - context.outputLeft));
      }
    } while (context.outputLeft === 0);
  }

  #take(): RawZlib {
    if (this.#closed) throw new Error("Cannot compress with a closed deflater");
    if (this.#shelf !== null) return this.#shelf.take();
    const { windowBits, memLevel, level } = this.#settings;
    return RawZlib.deflate(windowBits, memLevel, level);
  }

  #putBack(): void {
    if (this.#context === null) return;
    this.#shelf!.put(this.#context);
    this.#context = null;
  }
}

/** Takes the last four bytes off, wherever the pieces were cut. */
function dropTail(pieces: Uint8Array[]): void {
  for (let excess = 4; excess > 0;) {
    const last = pieces[pieces.length - 1];
    if (last.length > excess) {
      pieces[pieces.length - 1] = last.subarray(0, last.length - excess);
      return;
    }
    excess -= last.length;
    pieces.pop();
  }
}
