import type { Block } from "../flow/block.ts";
import { SendQueue } from "../flow/send_queue.ts";
import { FIN } from "../protocol/opcode.ts";
import type { DeflateDone, DeflateJob, Deflater } from "./deflater.ts";

// A message that waits for its turn needs a placeholder in the queue, a buffer and a job: some 800 bytes. For small messages
// that would be many times the length that is counted. So they share a batch: one buffer, one placeholder, one job, and
// later one block of frames.

/** Longer messages have placeholders of their own, which cost less than an eighth of their length. */
export const LARGEST_IN_BATCH: number = 8 * 1024;
const FIRST_CAPACITY = 512;
const CAPACITY = 32 * 1024;
/** Bytes before each payload: the first byte of its frame, and its length in two bytes. */
const HEADER = 3;
/** The fixed cost of compressing a message, in bytes of a slice. */
const CALL = 256;

/** Small messages and fragments that are compressed in turns, in the order in which they were added. */
export class MessageBatch implements DeflateJob {
  /** The placeholder for their frames. */
  readonly placeholder: Block;
  readonly #queue: SendQueue;
  readonly #frames: SendQueue;
  readonly #done: DeflateDone;
  #records = new Uint8Array(FIRST_CAPACITY);
  #used = 0;
  #at = 0;
  #begun = false;

  /**
   * Appends a placeholder to a queue.
   *
   * @param queue The queue for the frames.
   * @param nextKey Returns a masking key for each frame; `null` for a server.
   * @param done Called when the frames are in the queue, or with the error if compressing failed.
   */
  constructor(queue: SendQueue, nextKey: (() => number) | null, done: DeflateDone) {
    this.placeholder = queue.reserve(0, 0);
    this.#queue = queue;
    this.#frames = new SendQueue(nextKey);
    this.#done = done;
  }

  /**
   * Adds a copy of a message or fragment.
   *
   * @param first FIN, reserved bits and opcode.
   * @param payload At most `LARGEST_IN_BATCH` bytes.
   * @returns Whether it was added: not if another frame was queued since, compressing has begun, or the batch is full.
   */
  add(first: number, payload: Uint8Array): boolean {
    const length = payload.length, end = this.#used + HEADER + length;
    if (this.#begun || end > CAPACITY || !this.#queue.isLast(this.placeholder)) return false;
    if (end > this.#records.length) {
      const grown = new Uint8Array(Math.min(CAPACITY, Math.max(end, this.#records.length * 2)));
      grown.set(this.#records.subarray(0, this.#used));
      this.#records = grown;
    }
    const records = this.#records;
    records[this.#used] = first;
    records[this.#used + 1] = length >> 8;
    records[this.#used + 2] = length & 0xff;
    records.set(payload, this.#used + HEADER);
    this.#used = end;
    this.#queue.enlarge(this.placeholder, length, isFinal(first) ? 1 : 0);
    return true;
  }

  get complete(): boolean {
    return this.#at === this.#used;
  }

  work(deflater: Deflater, budget: number): number {
    this.#begun = true;
    const records = this.#records;
    let cost = 0;
    while (cost < budget && this.#at < this.#used) {
      const first = records[this.#at], final = isFinal(first);
      const length = records[this.#at + 1] << 8 | records[this.#at + 2];
      const start = this.#at + HEADER;
      const bytes = deflater.deflate(records.subarray(start, start + length), final);
      this.#frames.pushCompressed(first, bytes, length, final ? 1 : 0);
      this.#at = start + length;
      cost += length + CALL;
    }
    return cost;
  }

  done(error: unknown): void {
    if (error === null) this.#queue.fillFrom(this.placeholder, this.#frames);
    this.#done(error);
  }
}

function isFinal(first: number): boolean {
  return (first & FIN) !== 0;
}
