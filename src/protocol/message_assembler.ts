import { INVALID_PAYLOAD, PROTOCOL_ERROR, TOO_BIG } from "./close_code.ts";
import { FrameDecoder, type FrameSink } from "./frame_decoder.ts";
import { CLOSE, CONTINUATION, type Role, RSV1, TEXT } from "./opcode.ts";
import { copyBytes } from "./copy_bytes.ts";
import { copyPayload } from "./payload_slab.ts";
import { violation } from "./protocol_error.ts";
import { type Source, sourceOf } from "./source.ts";
import { decodeText, decodeValidText, isText } from "./text.ts";
import { Utf8Validator } from "./utf8.ts";
import { NOTHING } from "../util/bytes.ts";

/** Gets inflated messages. */
export interface InflatedMessageSink {
  /** A whole message: a string for text; for binary, bytes that aren't shared. */
  inflatedMessage(data: string | Uint8Array): void;
}

/** Gets messages in pieces, for a consumer that doesn't want them whole. */
export interface ChunkSink {
  /**
   * Bytes that the sink takes now. A compressed message is inflated no further than that; with 0 it waits until `resume`
   * of the assembler. It must be above 0 while a consumer awaits the bytes of a message, and while messages are dropped.
   * For messages that aren't compressed it isn't used: their pieces are as long as the reads.
   */
  readonly room: number;
  /** A message begins that hasn't come in one piece. */
  start(text: boolean): void;
  /** Bytes of the message, which the sink may keep. Those of a text may end inside a UTF-8 sequence. */
  chunk(bytes: Uint8Array): void;
  /** The message is complete. */
  end(): void;
}

/** Inflates and assembles compressed messages (RFC 7692). */
export interface CompressedMessages {
  /** Whether a piece is being inflated in turns, or waits for room. Until that is over nothing may be pushed. */
  readonly busy: boolean;
  /** Bytes of an unfinished message that are held. */
  readonly buffered: number;
  /** Delivers messages in pieces from now on, beginning with the held bytes of an unfinished one. */
  claim(sink: ChunkSink): void;
  /** Continues if the sink has room again; never calls the sink before it returns. */
  resume(): void;
  /** Inflates the next piece. Returns false if that continues in later turns; `done` is then called at the end. */
  push(
    text: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
    final: boolean,
    done: (error: unknown) => void,
  ): boolean;
  /** Releases its resources. */
  close(): void;
}

/** Gets whole messages and control frames. */
export interface MessageSink {
  /** A whole message: a string for text, bytes for binary; a view of the source if `isView`. */
  message(data: string | Uint8Array, isView: boolean): void;
  /** A ping, pong or close frame; its payload, `source[start..end)`, is valid until this returns. */
  control(opcode: number, source: Source, start: number, end: number): void;
  /** Inflating in turns has ended, or failed if `error` isn't `null`: decoding may continue. */
  inflated(error: unknown): void;
}

const EMPTY = sourceOf(NOTHING);
// The first allocation for a message that comes in parts, and the factor by which it grows. A header that announces many
// bytes costs little before they come, since untouched memory isn't resident; and growing rarely copies a byte twice.
const FIRST_CAPACITY = 4 * 1024;
const GROWTH = 16;
// From this many missing bytes on, the transport reads directly into the message.
const DIRECT_READ = 64 * 1024;
// And this many must have arrived: a peer that announces many bytes and sends none must not cost the memory of a read.
const BEFORE_DIRECT_READ = 16 * 1024;
// The most bytes of one direct read: they are then unmasked while they are still in the processor's cache.
const LONGEST_DIRECT_READ = 256 * 1024;

/**
 * Assembles messages from frames (RFC 6455 5.4) with control frames between them (5.5), and checks what a single frame
 * doesn't show: order of fragments, size of the message, UTF-8 (8.1).
 */
export class MessageAssembler implements FrameSink, InflatedMessageSink {
  /** The reserved bits of the first frame of the current message. */
  rsv = 0;
  /** Whether that message is text that is delivered as bytes: it isn't UTF-8, or the application wants bytes. */
  opaque = false;
  /** Opcode of the unfinished message; 0 between messages. */
  opcode = CONTINUATION;

  /** The decoder that feeds this assembler. */
  readonly frames: FrameDecoder;
  readonly #sink: MessageSink;
  readonly #maxMessageSize: number;
  readonly #viewPayloads: boolean;
  readonly #textAsBytes: boolean;
  #length = 0; // bytes of the message so far, the announced ones of the current frame included
  #filled = 0; // bytes of the message in #buffer
  #buffer = EMPTY;
  #utf8: Utf8Validator | null = null;
  readonly #makeInflater: ((sink: InflatedMessageSink) => CompressedMessages) | null;
  #inflater: CompressedMessages | null = null; // made for the first compressed message
  #onInflated: ((error: unknown) => void) | null = null;
  #compressed = false; // the unfinished message is compressed
  #passing = false; // its pieces are passed to `chunks`
  #chunks: ChunkSink | null = null;
  // The payload of a control frame that comes in parts.
  #control: Source | null = null;
  #controlFilled = 0;

  /**
   * @param maxMessageSize Bytes, inclusive; 0 for no limit.
   * @param viewPayloads Whether whole binary payloads may be delivered as views of the source.
   * @param allowedRsv Reserved bits that an extension of the application uses.
   * @param textAsBytes Whether text is delivered as bytes, unless it was compressed.
   * @param makeInflater Makes the inflater for messages with RSV1; `null` if compression wasn't agreed.
   */
  constructor(
    role: Role,
    sink: MessageSink,
    maxMessageSize: number,
    viewPayloads: boolean,
    allowedRsv: number,
    textAsBytes = false,
    makeInflater: ((sink: InflatedMessageSink) => CompressedMessages) | null = null,
  ) {
    this.frames = new FrameDecoder(
      role,
      this,
      makeInflater === null ? allowedRsv : allowedRsv | RSV1,
    );
    this.#makeInflater = makeInflater;
    this.#sink = sink;
    this.#maxMessageSize = maxMessageSize;
    this.#viewPayloads = viewPayloads;
    this.#textAsBytes = textAsBytes;
  }

  /** Bytes of an unfinished message that are held. */
  get buffered(): number {
    const filled = this.#passing ? 0 : this.#filled;
    return this.#inflater === null ? filled : filled + this.#inflater.buffered;
  }

  /**
   * Whether a message is being inflated in turns, or waits for room in `chunks`: nothing may be decoded until
   * `inflated` is called.
   */
  get busy(): boolean {
    return this.#inflater !== null && this.#inflater.busy;
  }

  /**
   * Gets the messages that come in several pieces; `null` to assemble them. Once set it stays. The bytes that have come of
   * an unfinished message are its first piece.
   */
  get chunks(): ChunkSink | null {
    return this.#chunks;
  }

  set chunks(sink: ChunkSink | null) {
    this.#chunks = sink;
    if (sink === null) return;
    this.#inflater?.claim(sink);
    if (this.#filled === 0) return;
    this.#passing = true;
    sink.start(this.opcode === TEXT);
    // The buffer can't be dropped yet: a read into it may be pending.
    sink.chunk(this.#buffer.bytes.slice(0, this.#filled));
  }

  /** Continues inflating if `chunks` has room again; never calls it before it returns. */
  resume(): void {
    this.#inflater?.resume();
  }

  frameStart(): void {
    const { opcode, length } = this.frames;
    if (opcode >= CLOSE) return;
    if (opcode === CONTINUATION) {
      if (this.opcode === CONTINUATION) {
        throw violation(
          PROTOCOL_ERROR,
          "unexpected-continuation",
          "Received a continuation without a message to continue",
        );
      }
      // Only the first fragment may have RSV1 set (RFC 7692 6.1).
      if (this.#makeInflater !== null && (this.frames.rsv & RSV1) !== 0) badRsv();
    } else {
      if (this.opcode !== CONTINUATION) {
        throw violation(
          PROTOCOL_ERROR,
          "expected-continuation",
          "Received a new message in the middle of an unfinished one",
        );
      }
      this.opcode = opcode;
      this.rsv = this.frames.rsv;
      if ((this.rsv & RSV1) !== 0) this.#compressed = this.#makeInflater !== null;
    }
    // The length of a compressed message is known only when it is inflated.
    if (!this.#compressed) this.#length += length;
    if (this.#maxMessageSize !== 0 && this.#length > this.#maxMessageSize) {
      throw violation(
        TOO_BIG,
        "message-too-big",
        `Received a message of at least ${this.#length} bytes: the limit is ${this.#maxMessageSize}`,
      );
    }
  }

  frameData(source: Source, start: number, end: number, last: boolean): void {
    const frames = this.frames;
    if (frames.opcode >= CLOSE) {
      this.#controlData(source, start, end, last);
    } else if (this.#compressed) {
      this.#inflateData(source, start, end, last && frames.fin);
    } else if (this.#isWhole(last, end - start) && source !== this.#buffer) {
      this.#whole(source, start, end);
    } else {
      this.#part(source, start, end);
      if (last && frames.fin) this.#assembled();
    }
  }

  /** The memory for the next bytes of a large payload; `null` if they are to be passed to `frames.decode`. */
  directReadTarget(): Uint8Array | null {
    const { remaining, opcode } = this.frames;
    // The first bytes must have come anyway, since they decide whether the message is passed on in pieces.
    if (remaining < DIRECT_READ || this.#filled < BEFORE_DIRECT_READ || opcode >= CLOSE) {
      return null;
    }
    if (this.#compressed || this.#passing) return null;
    if (this.#filled + DIRECT_READ > this.#buffer.bytes.length) {
      this.#grow(this.#filled + DIRECT_READ);
    }
    const end = this.#filled + Math.min(remaining, LONGEST_DIRECT_READ);
    return this.#buffer.bytes.subarray(this.#filled, end);
  }

  /** Handles bytes that were read into the memory of `directReadTarget`. */
  consumeDirect(count: number): void {
    const buffer = this.#buffer, from = this.#filled;
    if (this.#passing) this.#forget();
    this.frames.decode(buffer, from, from + count);
  }

  /** Forgets an unfinished message. */
  discard(): void {
    this.#forget();
    this.#length = 0;
    this.#control = null;
    this.opcode = CONTINUATION;
    this.#compressed = false;
    this.#passing = false;
  }

  /** Drops the unfinished message and releases the inflater. Nothing may be decoded afterwards. */
  close(): void {
    this.discard();
    this.#inflater?.close();
  }

  /** The inflater has a whole message. */
  inflatedMessage(data: string | Uint8Array): void {
    this.#sink.message(data, false);
  }

  #inflateData({ bytes }: Source, start: number, end: number, final: boolean): void {
    const text = this.opcode === TEXT;
    if (final) {
      this.#compressed = false;
      this.opcode = CONTINUATION;
    }
    const inflater = this.#inflater ??= this.#newInflater();
    const done = inflater.push(
      text,
      bytes,
      start,
      end,
      final,
      this.#onInflated ??= (error) => {
        this.#sink.inflated(error);
      },
    );
    if (!done) this.frames.stopRequested = true;
  }

  #newInflater(): CompressedMessages {
    const inflater = this.#makeInflater!(this);
    if (this.#chunks !== null) inflater.claim(this.#chunks);
    return inflater;
  }

  /** Whether a piece is a whole message, perhaps after fragments without payload. */
  #isWhole(last: boolean, length: number): boolean {
    return last && this.frames.fin && length === this.#length && !this.#passing;
  }

  #whole(source: Source, start: number, end: number): void {
    const text = this.opcode === TEXT;
    this.#length = 0;
    this.opcode = CONTINUATION;
    if (text && this.#textAsBytes && this.rsv === 0) {
      if (!isText(source.bytes, source.view, start, end)) notUtf8();
      this.#asBytes(copyPayload(source, start, end));
    } else if (text) {
      const string = this.frames.text(source, start, end);
      if (string === null) this.#opaque(source.bytes.slice(start, end));
      else this.#sink.message(string, false);
    } else if (this.#viewPayloads) {
      this.#sink.message(source.bytes.subarray(start, end), true);
    } else {
      this.#sink.message(copyPayload(source, start, end), false);
    }
  }

  /** Delivers text that isn't UTF-8, which is legal only if an extension of the application has transformed it. */
  #opaque(bytes: Uint8Array): void {
    if (this.rsv === 0) notUtf8();
    this.#asBytes(bytes);
  }

  #asBytes(bytes: Uint8Array): void {
    this.opaque = true;
    this.#sink.message(bytes, false);
    this.opaque = false;
  }

  #part(source: Source, start: number, end: number): void {
    if (this.opcode === TEXT && this.rsv === 0) {
      if (this.#filled === 0 && !this.#passing) (this.#utf8 ??= new Utf8Validator()).reset();
      if (!this.#utf8!.push(source.view, start, end)) notUtf8();
    }
    if (this.#passing || (this.#chunks !== null && this.#filled === 0)) {
      if (!this.#passing) this.#chunks!.start(this.opcode === TEXT);
      else if (this.#filled > 0) this.#forget();
      this.#passing = true;
      this.#chunks!.chunk(source.bytes.slice(start, end));
      return;
    }
    const filled = this.#filled + end - start;
    if (filled > this.#buffer.bytes.length) this.#grow(filled);
    if (source !== this.#buffer) copyBytes(source, start, end, this.#buffer, this.#filled);
    this.#filled = filled;
  }

  #forget(): void {
    this.#buffer = EMPTY;
    this.#filled = 0;
  }

  #grow(needed: number): void {
    // The last frame tells the final size; before that, the message is at least as long as announced so far.
    let capacity = Math.max(needed * GROWTH, FIRST_CAPACITY);
    if (this.frames.fin && capacity >= this.#length / 2) capacity = this.#length;
    else if (this.#maxMessageSize !== 0) capacity = Math.min(capacity, this.#maxMessageSize);
    const bytes = new Uint8Array(capacity);
    bytes.set(this.#buffer.bytes.subarray(0, this.#filled));
    this.#buffer = sourceOf(bytes);
  }

  #assembled(): void {
    if (this.#passing) {
      const text = this.opcode === TEXT;
      const complete = this.rsv !== 0 || this.#utf8 === null || this.#utf8.complete;
      this.discard();
      if (text && !complete) notUtf8();
      this.#chunks!.end();
      return;
    }
    const { bytes, view } = this.#buffer, length = this.#length, text = this.opcode === TEXT;
    // An empty message needs a buffer of its own, too: the application may transfer it.
    const own = length > 0 && bytes.length === length;
    this.discard();
    if (text && this.rsv !== 0) {
      const string = decodeText(bytes, view, 0, length);
      if (string === null) this.#opaque(bytes.slice(0, length));
      else this.#sink.message(string, false);
    } else if (text) {
      if (!this.#utf8!.complete) notUtf8();
      if (this.#textAsBytes) this.#asBytes(own ? bytes : bytes.slice(0, length));
      else this.#sink.message(decodeValidText(bytes, 0, length), false);
    } else {
      this.#sink.message(own ? bytes : bytes.slice(0, length), false);
    }
  }

  #controlData(source: Source, start: number, end: number, last: boolean): void {
    const { opcode, length } = this.frames;
    if (last && end - start === length) {
      this.#sink.control(opcode, source, start, end);
      return;
    }
    if (this.#control === null) {
      this.#control = sourceOf(new Uint8Array(length));
      this.#controlFilled = 0;
    }
    const control = this.#control;
    copyBytes(source, start, end, control, this.#controlFilled);
    this.#controlFilled += end - start;
    if (last) {
      this.#control = null;
      this.#sink.control(opcode, control, 0, length);
    }
  }
}

function badRsv(): never {
  throw violation(
    PROTOCOL_ERROR,
    "unexpected-rsv1",
    "Received a continuation with a reserved bit set",
  );
}

function notUtf8(): never {
  throw violation(
    INVALID_PAYLOAD,
    "invalid-utf8",
    "Received a text message that is not UTF-8",
  );
}
