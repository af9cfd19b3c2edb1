import { headerSize, writeHeader } from "../protocol/frame_header.ts";
import { applyMask } from "../protocol/mask.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import { acquire, type Buffer, LARGEST, release, SIZES } from "./buffer_pool.ts";

/** A stretch of encoded frames that goes to the system in one piece. */
export interface Block {
  /** The pooled buffer, or `null` where `bytes` is a payload of its own. */
  buffer: Buffer | null;
  bytes: Uint8Array;
  /** What is still to be written. */
  start: number;
  end: number;
  /** Payload bytes and messages that leave the queue with it. */
  payload: number;
  messages: number;
  /** Whether it ends inside a frame, which the next block completes: nothing may come between. */
  open: boolean;
  /** Whether it is only a place, and nothing from here on can be written yet. */
  pending: boolean;
  next: Block | null;
}

// No header is longer (RFC 6455 5.2), so room for one more than the payload is always enough.
const LONGEST_HEADER = 14;
// Where a call to the encoder costs more than a loop over the characters.
const SHORT_TEXT = 24;
const NOTHING = new Uint8Array(0);
const ENCODER = new TextEncoder();

/**
 * The data lane: frames are encoded at once, one behind the other, into blocks of at most 64 KiB (or one frame, if
 * larger). A thousand small messages are one block and leave in one write; no object is made for any of them.
 */
export class SendQueue {
  /** Payload bytes that the system has not taken yet. */
  bytes = 0;
  /** Messages that the system has not taken entirely yet. */
  messages = 0;

  readonly #nextKey: (() => number) | null;
  #head: Block | null = null;
  #tail: Block | null = null;

  /** @param nextKey Gives a masking key for each frame; `null` for a server, which masks nothing. */
  constructor(nextKey: (() => number) | null) {
    this.#nextKey = nextKey;
  }

  /** Whether no block waits (one may be on its way). */
  get empty(): boolean {
    return this.#head === null;
  }

  /**
   * Appends a frame with a copy of the payload.
   *
   * @param first FIN, reserved bits and opcode.
   * @param messages 1 where the frame ends a message.
   * @param owned Whether the payload is ours to keep and to change.
   */
  push(first: number, payload: Uint8Array, messages: number, owned: boolean): void {
    const length = payload.length, masked = this.#nextKey !== null;
    if (length + LONGEST_HEADER > SIZES[LARGEST]) {
      this.#pushLarge(first, owned ? payload : payload.slice(), messages);
      return;
    }
    const block = this.#room(headerSize(length, masked) + length);
    const at = writeHeader(block.bytes, block.end, first, length, masked ? 0x80 : 0);
    const body = masked ? at + 4 : at;
    if (length > 0) block.bytes.set(payload, body);
    this.#finish(block, at, body, length, messages);
  }

  /** Appends a frame whose payload counts for nothing, such as a close frame. */
  pushUncounted(first: number, payload: Uint8Array): void {
    this.push(first, payload, 0, false);
    this.#tail!.payload -= payload.length;
    this.bytes -= payload.length;
  }

  /**
   * Appends a frame with a text.
   *
   * @param room Bytes that may be added to the queue.
   * @returns The length in UTF-8, or -1 where that is more than `room` and nothing was appended.
   */
  pushText(first: number, text: string, messages: number, room: number): number {
    const characters = text.length, masked = this.#nextKey !== null;
    if (characters > room) return -1;
    if (characters * 3 + LONGEST_HEADER > SIZES[LARGEST]) {
      const bytes = encodeUtf8(text);
      if (bytes.length > room) return -1;
      this.push(first, bytes, messages, true);
      return bytes.length;
    }
    // Most text is ASCII, so the header is laid out for that; what is longer is encoded once more.
    let size = headerSize(characters, masked);
    let block = this.#room(size + characters);
    let length = encodeText(text, block, size);
    if (length < 0 || headerSize(length, masked) !== size) {
      block = this.#room(LONGEST_HEADER + characters * 3);
      length = encodeText(text, block, LONGEST_HEADER);
      size = headerSize(length, masked);
      const from = block.end + LONGEST_HEADER;
      block.bytes.copyWithin(block.end + size, from, from + length);
    }
    if (length > room) return -1;
    const at = writeHeader(block.bytes, block.end, first, length, masked ? 0x80 : 0);
    this.#finish(block, at, block.end + size, length, messages);
    return length;
  }

  /**
   * Opens a place for a message that comes piece by piece. What is appended later waits behind it.
   *
   * @returns The place, for `fillPlace`, `closePlace` or `cutAt`.
   */
  openPlace(): Block {
    const place = newPlace();
    this.#append(place);
    return place;
  }

  /** Moves what another queue holds to an open place; returns the place behind it, which is open. */
  fillPlace(place: Block, from: SendQueue): Block {
    const first = from.#head, last = from.#tail;
    if (first === null || last === null) return place;
    const behind = newPlace();
    behind.next = place.next;
    // The place turns into the first block, so that nobody has to look for what stands before it.
    Object.assign(place, first);
    (last === first ? place : last).next = behind;
    if (this.#tail === place) this.#tail = behind;
    this.bytes += from.bytes;
    this.messages += from.messages;
    from.#head = from.#tail = null;
    from.bytes = from.messages = 0;
    return behind;
  }

  /** Whether everything before an open place is on its way. */
  isNext(place: Block): boolean {
    return this.#head === place;
  }

  /** Whether the next block is an open place, so that nothing can be written. */
  get blocked(): boolean {
    return this.#head !== null && this.#head.pending;
  }

  /** Closes a place: what waited behind it may go. */
  closePlace(place: Block): void {
    this.#cut(place, place.next);
  }

  /** Drops an open place and everything behind it. */
  cutAt(place: Block): void {
    if (!this.#cut(place, null)) return;
    for (let block: Block | null = place; block !== null; block = block.next) this.taken(block);
  }

  #cut(place: Block, rest: Block | null): boolean {
    let before: Block | null = null, block = this.#head;
    for (; block !== place; block = block.next) {
      if (block === null) return false;
      before = block;
    }
    if (before === null) this.#head = rest;
    else before.next = rest;
    if (rest === null) this.#tail = before;
    return true;
  }

  /** Takes the next block to write, where there is one that can be written. */
  shift(): Block | null {
    const block = this.#head;
    if (block !== null) {
      if (block.pending) return null;
      this.#head = block.next;
      if (this.#head === null) this.#tail = null;
    }
    return block;
  }

  /** Accounts for a block that the system has taken. */
  taken(block: Block): void {
    this.bytes -= block.payload;
    this.messages -= block.messages;
    if (block.buffer !== null) release(block.buffer);
  }

  /** Drops what waits, except what completes an open frame that is on its way already. */
  drop(completing: boolean): void {
    const kept = completing ? this.shift() : null;
    let block = this.#head;
    this.#head = this.#tail = null;
    for (; block !== null; block = block.next) this.taken(block);
    if (kept !== null) {
      kept.next = null;
      this.#append(kept);
    }
  }

  #finish(block: Block, at: number, body: number, length: number, messages: number): void {
    if (this.#nextKey !== null) {
      const key = this.#nextKey();
      block.buffer!.view.setInt32(at, key, true);
      applyMask(block.buffer!.view, body, body + length, key);
    }
    block.end = body + length;
    block.payload += length;
    block.messages += messages;
    this.bytes += length;
    this.messages += messages;
  }

  #pushLarge(first: number, payload: Uint8Array, messages: number): void {
    const length = payload.length, masked = this.#nextKey !== null;
    const block = this.#room(LONGEST_HEADER);
    let at = writeHeader(block.bytes, block.end, first, length, masked ? 0x80 : 0);
    if (this.#nextKey !== null) {
      const key = this.#nextKey();
      block.buffer!.view.setInt32(at, key, true);
      at += 4;
      applyMask(new DataView(payload.buffer, payload.byteOffset, length), 0, length, key);
    }
    block.end = at;
    block.open = true;
    this.#append(newBlock(null, payload, 0, length, length, messages));
    this.bytes += length;
    this.messages += messages;
  }

  /** A block at the end of the queue with room for `size` bytes more. */
  #room(size: number): Block {
    const tail = this.#tail;
    if (tail !== null && tail.buffer !== null && !tail.open) {
      const buffer = tail.buffer, capacity = SIZES[buffer.size];
      const used = tail.end - buffer.start;
      if (used + size <= capacity) return tail;
      if (used + size <= SIZES[LARGEST]) {
        // Starting small keeps a connection with one message in flight cheap; growing copies little.
        const larger = acquire(sizeFor(used + size));
        larger.bytes.set(tail.bytes.subarray(tail.start, tail.end), larger.start);
        tail.buffer = larger;
        tail.bytes = larger.bytes;
        tail.start = larger.start;
        tail.end = larger.start + used;
        release(buffer);
        return tail;
      }
    }
    const buffer = acquire(sizeFor(size));
    const block = newBlock(buffer, buffer.bytes, buffer.start, buffer.start, 0, 0);
    this.#append(block);
    return block;
  }

  #append(block: Block): void {
    if (this.#tail === null) this.#head = block;
    else this.#tail.next = block;
    this.#tail = block;
  }
}

function sizeFor(bytes: number): number {
  let size = 0;
  while (SIZES[size] < bytes) size++;
  return size;
}

function newBlock(
  buffer: Buffer | null,
  bytes: Uint8Array,
  start: number,
  end: number,
  payload: number,
  messages: number,
): Block {
  return { buffer, bytes, start, end, payload, messages, open: false, pending: false, next: null };
}

function newPlace(): Block {
  const place = newBlock(null, NOTHING, 0, 0, 0, 0);
  place.pending = true;
  return place;
}

/** Encodes behind a gap for the header; -1 where it doesn't fit. */
function encodeText(text: string, block: Block, gap: number): number {
  const { bytes, buffer } = block, at = block.end + gap;
  if (text.length <= SHORT_TEXT) {
    let i = 0;
    for (; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) break;
      bytes[at + i] = code;
    }
    if (i === text.length) return i;
  }
  const limit = buffer!.start + SIZES[buffer!.size];
  const { read, written } = ENCODER.encodeInto(text, bytes.subarray(at, limit));
  return read === text.length ? written : -1;
}
