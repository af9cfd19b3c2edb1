import type { SendQueue } from "../flow/send_queue.ts";
import { LARGEST_IN_SLAB, type SharedFrame } from "../flow/shared_frame.ts";
import { FIN, RSV1 } from "../protocol/opcode.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import { Deflater, type DeflaterSettings } from "./deflater.ts";
import { CompressedFrame } from "./compressed_frame.ts";
import { LARGEST_IN_BATCH, MessageBatch } from "./message_batch.ts";
import { CALL_COST, charge, withinBudget } from "./work_queue.ts";

/** How much longer a byte takes to compress than to inflate. */
const COST = 4;
/** What a short message may grow by: the header of a stored block, and the end of a flush (RFC 1951 3.2.4). */
const EXPANSION = 7;
const ENCODER = new TextEncoder();
/** A text is encoded here before it is compressed, if it fits whatever its characters are. */
const MOST_CHARACTERS = 32 * 1024;
let encoded: Uint8Array<ArrayBuffer> | null = null;

/** What is to be done when a frame has been compressed in turns. */
export interface MessageDeflaterOwner {
  readonly queue: SendQueue;
  /** Gives a masking key for each frame; `null` for a server. */
  readonly nextKey: (() => number) | null;
  /** A frame that had kept its place in the queue is complete. */
  compressed(): void;
  /** Compressing has failed, so that nothing can be sent any more. Never called within a call of the owner's. */
  packFailed(error: unknown): void;
}

/** Puts compressed frames into a connection's send queue, in the order of the calls. */
export class MessageDeflater {
  /** Shorter messages are not worth it. */
  readonly threshold: number;
  readonly #owner: MessageDeflaterOwner;
  readonly #deflater: Deflater;
  /** What others must have in common with us to get the same bytes; 0 if there can be none. */
  readonly #shareKey: number;
  /** The batch that was begun last. */
  #batch: MessageBatch | null = null;
  #failed = false;

  /**
   * @param settings How to compress.
   * @param threshold Shorter messages are not worth it.
   * @param owner Whose messages they are.
   */
  constructor(settings: DeflaterSettings, threshold: number, owner: MessageDeflaterOwner) {
    this.threshold = threshold;
    this.#owner = owner;
    this.#deflater = new Deflater(settings);
    owner.queue.frameOverhead += EXPANSION;
    const { takeover, windowBits, memLevel, level } = settings;
    this.#shareKey = takeover ? 0 : (windowBits << 8) | (memLevel << 4) | level;
  }

  /**
   * Whether a message is to be compressed.
   *
   * @param length Its length, or that of the part that is there.
   * @param wish What the application said about this message.
   */
  wants(length: number, wish: boolean | undefined): boolean {
    return wish ?? (length >= this.threshold && length > 0);
  }

  /**
   * Encodes a text.
   *
   * @param text The text.
   * @returns Its UTF-8, in a buffer that the next call overwrites unless `isOwn` says otherwise.
   */
  encode(text: string): Uint8Array {
    if (text.length > MOST_CHARACTERS) return encodeUtf8(text);
    const buffer = encoded ??= new Uint8Array(MOST_CHARACTERS * 3);
    return buffer.subarray(0, ENCODER.encodeInto(text, buffer).written);
  }

  /** Whether bytes that `encode` returned may be kept. */
  isOwn(bytes: Uint8Array): boolean {
    return bytes.buffer !== encoded?.buffer;
  }

  /**
   * Appends a compressed frame to the queue, where it counts with its uncompressed length.
   *
   * @param first FIN, reserved bits and opcode.
   * @param payload What to compress.
   * @param final Whether the message ends with it.
   * @param owned Whether the payload is ours to keep.
   */
  push(first: number, payload: Uint8Array, final: boolean, owned: boolean): void {
    if (!this.#failed && this.#withinBudget(payload.length)) {
      try {
        this.#pushNow(first, payload, final);
        return;
      } catch (error) {
        this.#fail(error);
      }
    }
    if (this.#failed) this.#owner.queue.reserve(payload.length, final ? 1 : 0);
    else if (payload.length <= LARGEST_IN_BATCH) this.#addToBatch(first, payload);
    else this.#pushInTurns(first, owned ? payload : payload.slice(), final);
  }

  #withinBudget(length: number): boolean {
    return length <= this.#deflater.atOnce && !this.#deflater.busy && withinBudget();
  }

  #pushNow(first: number, payload: Uint8Array, final: boolean): void {
    charge(payload.length * COST + CALL_COST);
    const compressed = this.#deflater.deflate(payload, final);
    this.#owner.queue.pushCompressed(first, compressed, payload.length, final ? 1 : 0);
  }

  #addToBatch(first: number, payload: Uint8Array): void {
    if (this.#batch !== null && this.#batch.add(first, payload)) return;
    const { queue, nextKey } = this.#owner;
    const batch = this.#batch = new MessageBatch(queue, nextKey, (error) => {
      if (this.#batch === batch) this.#batch = null;
      this.#done(error);
    });
    batch.add(first, payload);
    this.#deflater.inTurns(batch);
  }

  #pushInTurns(first: number, payload: Uint8Array, final: boolean): void {
    const { queue, nextKey } = this.#owner;
    const place = queue.reserve(payload.length, final ? 1 : 0);
    const frame = new CompressedFrame(payload.length, nextKey === null ? null : nextKey());
    this.#deflater.deflateInTurns(payload, final, frame, (error) => {
      if (error === null) queue.fill(place, frame.finish(first));
      this.#done(error);
    });
  }

  /** What was compressed in turns is in its place, or never will be. */
  #done(error: unknown): void {
    if (error === null) {
      this.#owner.compressed();
      return;
    }
    this.#failed = true;
    this.#owner.packFailed(error);
  }

  /**
   * zlib has failed in the middle of a call of the application's, for want of memory most likely. What it sends keeps
   * its place in the queue, so that it is counted as unsent: nothing can be compressed any more.
   */
  #fail(error: unknown): void {
    this.#failed = true;
    this.#deflater.close();
    queueMicrotask(() => this.#owner.packFailed(error));
  }

  /**
   * Appends a message that others get as well, compressed: once for all whose window ends with each message, and for
   * itself if the window lives on.
   *
   * @param frame The message.
   * @param busy Whether a write is in flight.
   */
  pushShared(frame: SharedFrame, busy: boolean): void {
    const { queue, nextKey } = this.#owner;
    if (
      this.#shareKey === 0 || nextKey !== null || frame.length > this.#deflater.atOnce ||
      this.#deflater.busy || this.#failed
    ) {
      // What lies in a slab with others would keep all of the slab.
      const owned = frame.length > LARGEST_IN_SLAB;
      this.push(FIN | RSV1 | frame.opcode, frame.payload(), true, owned);
      return;
    }
    let compressed: SharedFrame;
    try {
      // Even if it isn't our turn: done once now, it is done for all the others.
      compressed = frame.compressed(this.#shareKey, (payload) => {
        charge(payload.length * COST + CALL_COST);
        return this.#deflater.deflate(payload, true);
      });
    } catch (error) {
      this.#fail(error);
      queue.reserve(frame.length, 1);
      return;
    }
    queue.pushShared(compressed, busy);
  }

  /** Gives everything up that isn't in the queue yet. */
  close(): void {
    this.#deflater.close();
  }
}
