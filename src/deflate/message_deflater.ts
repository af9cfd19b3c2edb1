import type { SendQueue } from "../flow/send_queue.ts";
import { LARGEST_IN_SLAB, type SharedFrame } from "../flow/shared_frame.ts";
import { FIN, RSV1 } from "../protocol/opcode.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import { copyOf } from "../util/bytes.ts";
import { Deflater, type DeflaterSettings } from "./deflater.ts";
import { CompressedFrame } from "./compressed_frame.ts";
import { LARGEST_IN_BATCH, MessageBatch } from "./message_batch.ts";
import { CALL_COST, workQueue } from "./work_queue.ts";

/** The time that compressing a byte takes, relative to inflating one. */
const COST = 4;
/** The most bytes that a short message may grow by: a stored block's header, and the end of a flush (RFC 1951 3.2.4). */
const EXPANSION = 7;
const ENCODER = new TextEncoder();
/** The longest text that is encoded into the shared buffer: it then fits for any characters. */
const MOST_CHARACTERS = 32 * 1024;
let encoded: Uint8Array<ArrayBuffer> | null = null;

/** What a message deflater needs from its owner. */
export interface MessageDeflaterOwner {
  readonly queue: SendQueue;
  /** Returns a masking key for each frame; `null` for a server. */
  readonly nextKey: (() => number) | null;
  /** A placeholder in the queue has been filled. */
  compressed(): void;
  /** Compressing has failed, so that nothing can be sent any more. Never called within a call of the owner. */
  compressionFailed(error: unknown): void;
}

/** Puts compressed frames into a connection's send queue, in the order of the calls. */
export class MessageDeflater {
  /** Shorter messages aren't compressed. */
  readonly threshold: number;
  readonly #owner: MessageDeflaterOwner;
  readonly #deflater: Deflater;
  /** Connections with the same key compress to the same bytes; 0 if the result can't be shared. */
  readonly #shareKey: number;
  /** The batch that was begun last. */
  #batch: MessageBatch | null = null;
  #failed = false;

  /**
   * @param settings The parameters of compression.
   * @param threshold Shorter messages aren't compressed.
   * @param owner The sender of the messages.
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
   * @param length The length of the message, or of its known part.
   * @param wish The option `compress` of this message.
   */
  wants(length: number, wish: boolean | undefined): boolean {
    return wish ?? (length >= this.threshold && length > 0);
  }

  /**
   * Encodes a text.
   *
   * @param text The text.
   * @returns The UTF-8 bytes, in a buffer that the next call overwrites unless `isOwn` says otherwise.
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
   * Appends a compressed frame to the queue, which counts its uncompressed length.
   *
   * @param first FIN, reserved bits and opcode.
   * @param payload The payload before compression.
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
    else this.#pushInTurns(first, owned ? payload : copyOf(payload), final);
  }

  #withinBudget(length: number): boolean {
    return length <= this.#deflater.atOnce && !this.#deflater.busy && workQueue.withinBudget;
  }

  #pushNow(first: number, payload: Uint8Array, final: boolean): void {
    workQueue.charge(payload.length * COST + CALL_COST);
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
    this.#deflater.enqueue(batch);
  }

  #pushInTurns(first: number, payload: Uint8Array, final: boolean): void {
    const { queue, nextKey } = this.#owner;
    const placeholder = queue.reserve(payload.length, final ? 1 : 0);
    const frame = new CompressedFrame(payload.length, nextKey === null ? null : nextKey());
    this.#deflater.deflateInTurns(payload, final, frame, (error) => {
      if (error === null) queue.fill(placeholder, frame.finish(first));
      this.#done(error);
    });
  }

  /** A placeholder was filled, or compressing has failed. */
  #done(error: unknown): void {
    if (error === null) {
      this.#owner.compressed();
      return;
    }
    this.#failed = true;
    this.#owner.compressionFailed(error);
  }

  /**
   * zlib has failed within a call of the application, most likely without memory. The message keeps a placeholder in the
   * queue, so that it is counted as unsent.
   */
  #fail(error: unknown): void {
    this.#failed = true;
    this.#deflater.close();
    queueMicrotask(() => this.#owner.compressionFailed(error));
  }

  /**
   * Compresses and appends a message that is sent to many. Without context takeover it is compressed once for all
   * connections with the same parameters.
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
      // A frame in a slab would keep the whole slab alive, so it is copied.
      const owned = frame.length > LARGEST_IN_SLAB;
      this.push(FIN | RSV1 | frame.opcode, frame.payload(), true, owned);
      return;
    }
    let compressed: SharedFrame;
    try {
      // Regardless of the budget, since this one call serves all the others.
      compressed = frame.compressed(this.#shareKey, (payload) => {
        workQueue.charge(payload.length * COST + CALL_COST);
        return this.#deflater.deflate(payload, true);
      });
    } catch (error) {
      this.#fail(error);
      queue.reserve(frame.length, 1);
      return;
    }
    queue.pushShared(compressed, busy);
  }

  /** Drops all messages that aren't compressed yet. */
  close(): void {
    this.#deflater.close();
  }
}
