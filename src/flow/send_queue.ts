import { headerSize, LONGEST_HEADER, writeHeader } from "../protocol/frame_header.ts";
import { advanceKey, applyMask } from "../protocol/mask.ts";
import { FIN, TEXT } from "../protocol/opcode.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import { acquire, type Buffer, HUGE, LARGEST, release, SIZES } from "../memory/buffer_pool.ts";
import { type Block, keepBlock, newBlock, newPlaceholder, sizeFor } from "./block.ts";
import { LARGEST_IN_SLAB, type SharedFrame } from "./shared_frame.ts";
import { NOTHING } from "../util/bytes.ts";

/** Index of the size of the block that has a header and the first bytes of a lent payload: a header alone isn't worth a write. */
const BEFORE_LENT = 2;

// Up to this length a call of the encoder costs more than a loop over the characters.
const SHORT_TEXT = 24;
const ENCODER = new TextEncoder();
/** The longest text that is encoded together with others: a longer one has a longer header. */
const LONGEST_DEFERRED = 125;
/** Characters that are encoded together at most. */
const MOST_DEFERRED = 16 * 1024;
/** What a text is preceded by until its header is written, by the text's length, which it encodes. */
const GAPS = Array.from(
  { length: LONGEST_DEFERRED + 1 },
  (_, length) => "\0" + String.fromCharCode(length),
);
const MASKED_GAPS = GAPS.map((gap) => gap + "\0\0\0\0");
// Header and masking key of a short frame (RFC 6455 5.2), in bytes.
const UNMASKED_HEADER = 2;
const MASKED_HEADER = 6;
/** The memory of a reserved placeholder apart from its payload: the block, the job that fills it, and their buffers. */
const PLACEHOLDER_OVERHEAD = 1024;

/**
 * The data queue. Frames are encoded when they are sent, one after the other, into blocks of at most 64 KiB (or one
 * larger frame). A thousand small messages are one block and leave in one write, and no object is made for any of them.
 * A placeholder is a block whose frames come later: of a message that is being compressed, or that comes in pieces.
 */
export class SendQueue {
  /** The most that `bytes` has been, as far as it was looked at. */
  highWater = 0;
  /** Messages that the kernel has not fully taken yet. */
  messages = 0;
  /** Frames that don't end a message, and that the kernel has not fully taken yet. */
  fragments = 0;
  /** Reserved placeholders that aren't filled yet. */
  placeholders = 0;
  /** The memory of each short frame apart from its payload, in bytes. */
  frameOverhead: number;

  readonly #nextKey: (() => number) | null;
  #bytes = 0;
  #head: Block | null = null;
  #tail: Block | null = null;
  #texts = ""; // texts that aren't encoded yet, each after a gap for its header
  #waiting = 0; // their number
  #postponed: SharedFrame[] | null = null;

  /** @param nextKey Returns a masking key for each frame; `null` for a server, which doesn't mask. */
  constructor(nextKey: (() => number) | null) {
    this.#nextKey = nextKey;
    this.frameOverhead = nextKey === null ? UNMASKED_HEADER : MASKED_HEADER;
  }

  /** Payload bytes that the kernel has not taken yet. */
  get bytes(): number {
    if (this.#waiting > 0) this.#settle();
    return this.#bytes;
  }

  set bytes(bytes: number) {
    this.#bytes = bytes;
  }

  /** Frames that the kernel has not fully taken yet: each costs memory, even without payload. */
  get frames(): number {
    return this.messages + this.fragments;
  }

  /** The memory of the queue apart from the payloads, in bytes: headers and reserved placeholders. */
  get overhead(): number {
    return this.frames * this.frameOverhead + this.placeholders * PLACEHOLDER_OVERHEAD;
  }

  /** Whether no block waits. One may be in flight. */
  get empty(): boolean {
    return this.#head === null && this.#waiting === 0;
  }

  /**
   * Appends a frame with a copy of the payload.
   *
   * @param first FIN, reserved bits and opcode.
   * @param messages 1 if the frame ends a message.
   * @param owned Whether the payload is ours to keep and to change.
   */
  push(first: number, payload: Uint8Array, messages: number, owned: boolean): void {
    if (this.#waiting > 0) this.#settle();
    const length = payload.length, masked = this.#nextKey !== null;
    if (length + LONGEST_HEADER > SIZES[LARGEST]) {
      this.#pushLarge(first, payload, messages, owned);
      return;
    }
    const block = this.#room(headerSize(length, masked) + length);
    const at = writeHeader(block.bytes, block.end, first, length, masked ? 0x80 : 0);
    const body = masked ? at + 4 : at;
    if (length > 0) block.bytes.set(payload, body);
    this.#finish(block, at, body, length, messages);
    if (messages === 0) this.#countFragment(block);
  }

  /**
   * Appends a frame of more than a block, unmasked. The first `lent` bytes of its payload aren't copied: before their lender
   * goes on `keep` has to be called.
   */
  pushLent(first: number, payload: Uint8Array, messages: number, lent: number): void {
    if (this.#waiting > 0) this.#settle();
    this.#pushLarge(first, payload, messages, false, lent);
  }

  /** Copies what is left of a payload that was lent: in the block in flight, or in the next one. */
  keep(payload: Uint8Array, flying: Block | null): void {
    if (flying !== null && flying.bytes === payload) keepBlock(flying);
    else if (this.#head !== null && this.#head.bytes === payload) keepBlock(this.#head);
  }

  #countFragment(block: Block): void {
    block.fragments++;
    this.fragments++;
  }

  /** Appends a frame whose payload isn't counted: a close frame. */
  pushUncounted(first: number, payload: Uint8Array): void {
    this.push(first, payload, 0, false);
    this.#tail!.payload -= payload.length;
    this.#bytes -= payload.length;
  }

  /**
   * Appends a frame with a copy of a compressed payload.
   *
   * @param first FIN, reserved bits and opcode.
   * @param counted The length before compression, which is counted until the kernel has taken the whole frame.
   * @param messages 1 if the frame ends a message.
   */
  pushCompressed(first: number, payload: Uint8Array, counted: number, messages: number): void {
    if (this.#waiting > 0) this.#settle();
    const before = this.#tail, excess = counted - payload.length;
    this.push(first, payload, messages, false);
    const tail = this.#tail!;
    tail.payload += excess;
    this.#bytes += excess;
    if (payload.length + LONGEST_HEADER <= SIZES[LARGEST]) return;
    // A large frame has blocks of its own, and leaves the count with the last of them.
    for (
      let block = before === null ? this.#head! : before.next!;
      block !== tail;
      block = block.next!
    ) {
      block.payload = 0;
    }
    tail.payload = counted;
  }

  /**
   * Appends a placeholder for a frame that is still being compressed. Frames after it wait.
   *
   * @returns The placeholder, for `fill`.
   */
  reserve(counted: number, messages: number): Block {
    if (this.#waiting > 0) this.#settle();
    const block = this.#appendBlock(newBlock(null, NOTHING, 0, 0, counted));
    block.messages = messages;
    block.fragments = 1 - messages;
    block.pending = block.compressed = true;
    this.placeholders++;
    this.#bytes += counted;
    this.messages += messages;
    this.fragments += 1 - messages;
    return block;
  }

  /** Whether a reserved placeholder is still in the queue, and the last block of it. */
  isLast(placeholder: Block): boolean {
    return this.#tail === placeholder && placeholder.pending && this.#waiting === 0;
  }

  /** Counts a further frame for a reserved placeholder. */
  enlarge(placeholder: Block, counted: number, messages: number): void {
    placeholder.payload += counted;
    placeholder.messages += messages;
    placeholder.fragments += 1 - messages;
    this.#bytes += counted;
    this.messages += messages;
    this.fragments += 1 - messages;
  }

  /** Fills a placeholder with its frame, unless it has been dropped. */
  fill(placeholder: Block, pieces: Uint8Array[]): void {
    if (!placeholder.pending) return;
    const { payload, messages, fragments, next } = placeholder;
    let last = placeholder;
    this.placeholders--;
    placeholder.pending = false;
    placeholder.bytes = pieces[0];
    placeholder.end = pieces[0].length;
    placeholder.payload = placeholder.messages = placeholder.fragments = 0;
    for (let i = 1; i < pieces.length; i++) {
      const block = newBlock(null, pieces[i], 0, pieces[i].length, 0);
      block.compressed = last.continues = true;
      last = last.next = block;
    }
    last.payload = payload;
    last.messages = messages;
    last.fragments = fragments;
    last.next = next;
    if (this.#tail === placeholder) this.#tail = last;
  }

  /** Fills a placeholder with the frames of another queue, at least one, unless it has been dropped. */
  fillFrom(placeholder: Block, from: SendQueue): void {
    const { payload, messages, fragments, next } = placeholder,
      first = from.#head,
      last = from.#tail;
    if (!placeholder.pending || first === null || last === null) return;
    this.placeholders--;
    this.#bytes -= payload;
    this.messages -= messages;
    this.fragments -= fragments;
    const end = this.#moveTo(placeholder, from, first, last);
    end.next = next;
    if (this.#tail === placeholder) this.#tail = end;
  }

  /** Replaces a placeholder with the blocks of another queue; returns the last one, whose `next` the caller has to set. */
  #moveTo(placeholder: Block, from: SendQueue, first: Block, last: Block): Block {
    this.#bytes += from.bytes;
    this.messages += from.messages;
    this.fragments += from.fragments;
    from.#head = from.#tail = null;
    from.bytes = from.messages = from.fragments = 0;
    // The placeholder becomes the first block, so that the block before it needn't be found.
    Object.assign(placeholder, first);
    return last === first ? placeholder : last;
  }

  /**
   * Takes a short text, to encode it together with those that follow: a call of the encoder takes as long as some hundred
   * characters. Until then its bytes aren't known, but they are at most three for each character.
   *
   * @param limit Bytes that the queue may have without anybody having to know how many they are.
   * @returns Whether it was taken.
   */
  defer(text: string, limit: number): boolean {
    const { length } = text;
    if (length > LONGEST_DEFERRED || (length <= SHORT_TEXT && this.#waiting === 0)) return false;
    const characters = this.#texts.length + length;
    if (characters > MOST_DEFERRED || this.#bytes + 3 * characters > limit) return false;
    this.#texts += (this.#nextKey === null ? GAPS : MASKED_GAPS)[length] + text;
    this.#waiting++;
    this.messages++;
    return true;
  }

  /** Encodes the texts that were deferred: at once, if all are ASCII. */
  #settle(): void {
    const texts = this.#texts, { length } = texts, count = this.#waiting;
    const header = this.#nextKey === null ? UNMASKED_HEADER : MASKED_HEADER;
    this.#texts = "";
    this.#waiting = 0;
    const block = this.#room(length), from = block.end, { bytes } = block;
    const { read } = ENCODER.encodeInto(texts, bytes.subarray(from, from + length));
    if (read === length) {
      for (let at = from; at < from + length;) {
        const size = bytes[at + 1], body = at + header;
        writeHeader(bytes, at, FIN | TEXT, size, this.#nextKey === null ? 0 : 0x80);
        this.#finish(block, at + 2, body, size, 0);
        at = body + size;
      }
      block.messages += count;
    } else {
      this.messages -= count;
      for (let at = 0; at < length;) {
        const body = at + header, end = body + texts.charCodeAt(at + 1);
        this.pushText(FIN | TEXT, texts.substring(body, end), 1, Infinity);
        at = end;
      }
    }
    if (this.#bytes > this.highWater) this.highWater = this.#bytes;
  }

  /**
   * Appends a frame with a text.
   *
   * @param room Bytes that may be added to the queue.
   * @returns The length in UTF-8; -1 if that is more than `room`, and then nothing was appended.
   */
  pushText(first: number, text: string, messages: number, room: number): number {
    if (this.#waiting > 0) this.#settle();
    const characters = text.length, masked = this.#nextKey !== null;
    if (characters > room) return -1;
    // If the text might not fit, its length has to be known first: a block that was added can't be taken back.
    if (characters * 3 > room || characters * 3 + LONGEST_HEADER > SIZES[LARGEST]) {
      const bytes = encodeUtf8(text);
      if (bytes.length > room) return -1;
      this.push(first, bytes, messages, true);
      return bytes.length;
    }
    // Most text is ASCII, so the header is laid out for that. Other text may have to be encoded once more.
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
    const at = writeHeader(block.bytes, block.end, first, length, masked ? 0x80 : 0);
    this.#finish(block, at, block.end + size, length, messages);
    return length;
  }

  /**
   * Appends a frame that is shared with other queues. An empty queue only refers to it. Otherwise the frame is copied, so
   * that all frames of a turn still leave in one write.
   *
   * @param busy Whether a write is in flight. Then the frame may wait for long, and must not keep a slab in memory.
   */
  pushShared(frame: SharedFrame, busy: boolean): void {
    if (this.#waiting > 0) this.#settle();
    const size = frame.end - frame.start, tail = this.#tail;
    if (this.#nextKey !== null) {
      this.push(FIN | frame.opcode, frame.payload(), 1, false);
    } else if (
      tail !== null && tail.shared && tail.bytes === frame.bytes && tail.end === frame.start
    ) {
      tail.end = frame.end;
      tail.payload += frame.length;
      tail.compressed ||= frame.isCompressed;
      tail.messages++;
      this.#bytes += frame.length;
      this.messages++;
    } else if (size > LARGEST_IN_SLAB || (tail === null && !busy)) {
      const { bytes, start, end, length } = frame;
      const block = this.#appendBlock(newBlock(null, bytes, start, end, length));
      block.messages = 1;
      block.shared = true;
      block.compressed = frame.isCompressed;
      this.#bytes += length;
      this.messages++;
    } else {
      const block = this.#room(size);
      block.bytes.set(frame.bytes.subarray(frame.start, frame.end), block.end);
      block.end += size;
      block.payload += frame.length;
      block.messages++;
      this.#bytes += frame.length;
      this.messages++;
    }
  }

  /** Keeps a frame until the unfinished fragmented message ends. It is counted at once. */
  postpone(frame: SharedFrame): void {
    (this.#postponed ??= []).push(frame);
    this.#bytes += frame.length;
    this.messages++;
  }

  /** Appends the postponed frames. */
  resume(): void {
    const frames = this.#postponed;
    if (frames === null) return;
    this.#forgetPostponed();
    for (const frame of frames) this.pushShared(frame, true);
  }

  /**
   * Appends an open placeholder, for a message that comes piece by piece. Frames after it wait.
   *
   * @returns The placeholder, for `insertAt`, `closePlaceholder` or `cutAt`.
   */
  openPlaceholder(): Block {
    if (this.#waiting > 0) this.#settle();
    const placeholder = newPlaceholder();
    this.#appendBlock(placeholder);
    return placeholder;
  }

  /** Moves the frames of another queue to an open placeholder; returns a new one, which follows them. */
  insertAt(placeholder: Block, from: SendQueue): Block {
    const first = from.#head, last = from.#tail;
    if (first === null || last === null) return placeholder;
    const after = newPlaceholder();
    after.next = placeholder.next;
    this.#moveTo(placeholder, from, first, last).next = after;
    if (this.#tail === placeholder) this.#tail = after;
    return after;
  }

  /** Whether everything before an open placeholder has been taken to be written. */
  isNext(placeholder: Block): boolean {
    return this.#head === placeholder;
  }

  /** Whether the next block is a placeholder, so that nothing can be written. */
  get blocked(): boolean {
    return this.#head !== null && this.#head.pending;
  }

  /** Removes an open placeholder: the blocks after it may be written. */
  closePlaceholder(placeholder: Block): void {
    this.#cut(placeholder, placeholder.next);
  }

  /** Drops an open placeholder and everything after it. */
  cutAt(placeholder: Block): void {
    if (this.#waiting > 0) this.#settle();
    if (!this.#cut(placeholder, null)) return;
    for (let block: Block | null = placeholder; block !== null; block = block.next) {
      this.#forget(block);
    }
  }

  #cut(placeholder: Block, rest: Block | null): boolean {
    let before: Block | null = null, block = this.#head;
    for (; block !== placeholder; block = block.next) {
      if (block === null) return false;
      before = block;
    }
    if (before === null) this.#head = rest;
    else before.next = rest;
    if (rest === null) this.#tail = before;
    return true;
  }

  /** Takes the next block to write; `null` if there is none, or it is a placeholder. */
  shift(): Block | null {
    if (this.#waiting > 0) this.#settle();
    const block = this.#head;
    if (block !== null) {
      if (block.pending) return null;
      this.#head = block.next;
      if (this.#head === null) this.#tail = null;
      // A block of the old generation would keep all blocks after it alive until the next major collection.
      block.next = null;
    }
    return block;
  }

  /** Accounts for a block that the kernel has taken. */
  taken(block: Block): void {
    this.#bytes -= block.payload;
    this.messages -= block.messages;
    this.fragments -= block.fragments;
    if (block.buffer !== null) release(block.buffer);
  }

  /** Drops all blocks, except the rest of a frame that is partly written. */
  drop(completing: boolean): void {
    if (this.#waiting > 0) this.#settle();
    let rest = this.#head;
    this.#head = this.#tail = null;
    while (completing && rest !== null) {
      const kept = rest;
      rest = kept.next;
      kept.next = null;
      this.#appendBlock(kept);
      completing = kept.continues;
    }
    for (; rest !== null; rest = rest.next) this.#forget(rest);
    this.#forgetPostponed();
  }

  /** Accounts for a block that is dropped; a placeholder isn't filled any more. */
  #forget(block: Block): void {
    if (block.pending && block.compressed) this.placeholders--;
    block.pending = false;
    this.taken(block);
  }

  #forgetPostponed(): void {
    for (const frame of this.#postponed ?? []) {
      this.#bytes -= frame.length;
      this.messages--;
    }
    this.#postponed = null;
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
    this.#bytes += length;
    this.messages += messages;
  }

  /**
   * Appends a frame that fills more than a block. It shares no block with other frames: a control frame can only be
   * written between blocks that end with a frame.
   */
  #pushLarge(
    first: number,
    payload: Uint8Array,
    messages: number,
    owned: boolean,
    lent = 0,
  ): void {
    const length = payload.length, masked = this.#nextKey !== null;
    const key = this.#nextKey === null ? 0 : this.#nextKey();
    const size = lent > 0 ? BEFORE_LENT : sizeFor(Math.min(length + LONGEST_HEADER, SIZES[HUGE]));
    let block = this.#append(acquire(owned ? 0 : size));
    block.end = writeHeader(block.bytes, block.end, first, length, masked ? 0x80 : 0);
    if (masked) {
      block.buffer!.view.setInt32(block.end, key, true);
      block.end += 4;
    }
    block.continues = true;
    if (owned) {
      if (masked) {
        applyMask(new DataView(payload.buffer, payload.byteOffset, length), 0, length, key);
      }
      block = this.#appendBlock(newBlock(null, payload, 0, length, length));
    } else {
      for (let at = 0;;) {
        const from = block.end,
          room = SIZES[block.buffer!.size] - (from - block.start),
          part = payload.subarray(at, at + room);
        block.bytes.set(part, from);
        block.end += part.length;
        block.payload = part.length;
        if (masked) applyMask(block.buffer!.view, from, block.end, advanceKey(key, at));
        at += part.length;
        if (at < lent) {
          const end = Math.min(lent, length);
          block.continues = true;
          block = this.#appendBlock(newBlock(null, payload, at, end, end - at));
          at = end;
        }
        if (at === length) break;
        block.continues = true;
        block = this.#append(acquire(sizeFor(Math.min(length - at, SIZES[HUGE]))));
      }
    }
    block.continues = false;
    block.sealed = true;
    block.messages = messages;
    block.fragments = 1 - messages;
    this.#bytes += length;
    this.messages += messages;
    this.fragments += 1 - messages;
  }

  /** Returns the last block if it has room for `size` more bytes, or else a new one. */
  #room(size: number): Block {
    const tail = this.#tail;
    if (tail !== null && tail.buffer !== null && !tail.sealed) {
      const buffer = tail.buffer, capacity = SIZES[buffer.size];
      const used = tail.end - buffer.start;
      if (used + size <= capacity) return tail;
      if (used + size <= SIZES[LARGEST]) {
        // Starting small keeps a connection with one short message cheap; growing copies little.
        const larger = acquire(sizeFor(used + size));
        larger.bytes.set(tail.bytes.subarray(tail.start, tail.end), larger.start);
        tail.buffer = larger;
        tail.bytes = larger.bytes;
        tail.start = larger.start;
        tail.end = larger.start + used;
        release(buffer);
        return tail;
      }
    } else if (tail !== null && tail.shared && tail.end - tail.start <= LARGEST_IN_SLAB) {
      const used = tail.end - tail.start;
      const buffer = acquire(sizeFor(Math.min(used + size, SIZES[LARGEST])));
      if (used + size <= SIZES[buffer.size]) {
        buffer.bytes.set(tail.bytes.subarray(tail.start, tail.end), buffer.start);
        tail.shared = false;
        tail.buffer = buffer;
        tail.bytes = buffer.bytes;
        tail.start = buffer.start;
        tail.end = buffer.start + used;
        return tail;
      }
      release(buffer);
    }
    return this.#append(acquire(sizeFor(size)));
  }

  #append(buffer: Buffer): Block {
    return this.#appendBlock(newBlock(buffer, buffer.bytes, buffer.start, buffer.start, 0));
  }

  #appendBlock(block: Block): Block {
    if (this.#tail === null) this.#head = block;
    else this.#tail.next = block;
    this.#tail = block;
    return block;
  }
}

/** Encodes a text after a gap for the header; returns its length, or -1 if it doesn't fit. */
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
