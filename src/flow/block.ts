import { acquire, type Buffer, HUGE, SIZES } from "../memory/buffer_pool.ts";
import { copyOf, NOTHING } from "../util/bytes.ts";

/** A run of encoded frames that is written in one piece. */
export interface Block {
  /** The pooled buffer; `null` if `bytes` is a single payload, or shared with other queues. */
  buffer: Buffer | null;
  bytes: Uint8Array;
  /** The bytes from `start` to `end` are still to be written. */
  start: number;
  end: number;
  /** Payload bytes, messages, and frames that don't end a message, that leave the queue with this block. */
  payload: number;
  messages: number;
  fragments: number;
  /** Whether it ends inside a frame that the next block continues: nothing may be written between the two. */
  continues: boolean;
  /** Whether no frame may be added. */
  sealed: boolean;
  /** Whether it is a placeholder that isn't filled yet: nothing from here on can be written. */
  pending: boolean;
  /** Whether `payload` is the length before compression. It then leaves the queue only with the whole block. */
  compressed: boolean;
  /** Whether `bytes` are shared with other queues. */
  shared: boolean;
  next: Block | null;
}

/** Returns the index of the smallest buffer size with room for a number of bytes. */
export function sizeFor(bytes: number): number {
  let size = 0;
  while (SIZES[size] < bytes) size++;
  return size;
}

/** Gives a block memory of its own. */
export function keepBlock(block: Block): void {
  const rest = block.bytes.subarray(block.start, block.end), { length } = rest;
  const buffer = length > SIZES[HUGE] ? null : acquire(sizeFor(length));
  buffer?.bytes.set(rest, buffer.start);
  block.buffer = buffer;
  block.bytes = buffer?.bytes ?? copyOf(rest);
  block.start = buffer?.start ?? 0;
  block.end = block.start + length;
}

/** Makes a block. All blocks are made here, so that they have the same hidden class. */
export function newBlock(
  buffer: Buffer | null,
  bytes: Uint8Array,
  start: number,
  end: number,
  payload: number,
): Block {
  return {
    buffer,
    bytes,
    start,
    end,
    payload,
    messages: 0,
    fragments: 0,
    continues: false,
    sealed: false,
    pending: false,
    compressed: false,
    shared: false,
    next: null,
  };
}

/** Makes a block whose frames come later. */
export function newPlaceholder(): Block {
  const placeholder = newBlock(null, NOTHING, 0, 0, 0);
  placeholder.pending = true;
  return placeholder;
}
