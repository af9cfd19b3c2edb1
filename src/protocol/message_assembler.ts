import { INVALID_PAYLOAD, PROTOCOL_ERROR, TOO_BIG } from "./close_code.ts";
import { FrameDecoder, type FrameSink, type Source } from "./frame_decoder.ts";
import { CLOSE, CONTINUATION, type Role, RSV1, TEXT } from "./opcode.ts";
import { copyBytes } from "./copy_bytes.ts";
import { copyPayload } from "./payload_slab.ts";
import { ProtocolError } from "./protocol_error.ts";
import { decodeText, decodeValidText, isText } from "./text.ts";
import { Utf8Validator } from "./utf8.ts";
import { NOTHING } from "../util/bytes.ts";

/** Where inflated messages go. */
export interface InflatedMessageSink {
  /** A whole message: a string for text, bytes of its own for binary. */
  inflatedMessage(data: string | Uint8Array): void;
}

/** Where a message goes that isn't to be put together. */
export interface ChunkSink {
  /**
   * Bytes that the sink takes now. A compressed message is inflated no further than that: with 0 it waits until
   * `resume` of the assembler. It must be above 0 while a consumer awaits the bytes of a message, and while what comes
   * is dropped. Messages that aren't compressed don't ask: how much of them comes is what was read.
   */
  readonly room: number;
  /** A message begins that didn't come in one piece. */
  start(text: boolean): void;
  /** Bytes of it, for the sink to keep; of text, whole so far. */
  chunk(bytes: Uint8Array): void;
  /** It is complete. */
  end(): void;
}

/** What inflates compressed messages and puts them together (RFC 7692). */
export interface CompressedMessages {
  /** Whether a piece is being worked at in turns or waits for room: until that is done nothing may be pushed. */
  readonly busy: boolean;
  /** Bytes of an unfinished message that are held. */
  readonly buffered: number;
  /** Hands over messages in pieces from now on, first what there is of an unfinished one. */
  claim(sink: ChunkSink): void;
  /** Goes on if the sink had no room and has some now; never calls the sink before it returns. */
  resume(): void;
  /** Takes the next piece; returns false if it goes on in turns, and `done` is called at their end. */
  push(
    text: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
    final: boolean,
    done: (error: unknown) => void,
  ): boolean;
  /** Gives back what it holds. */
  close(): void;
}

/** Where whole messages and control frames go. */
export interface MessageSink {
  /** A whole message: a string for text, bytes for binary; a view of the source if `isView`. */
  message(data: string | Uint8Array, isView: boolean): void;
  /** A ping, pong or close frame with its payload, which is valid until this returns. */
  control(opcode: number, payload: Uint8Array): void;
  /** What was inflated in turns is done, with the error if it failed: decoding may go on. */
  inflated(error: unknown): void;
}

const EMPTY: Source = { bytes: NOTHING, view: new DataView(NOTHING.buffer) };
// The first allocation for a message that comes in parts, and how it grows: a header that announces much costs
// little until the bytes are there (untouched memory isn't resident), and what is there is copied once at most twice.
const FIRST_CAPACITY = 4 * 1024;
const GROWTH = 16;
// From this many missing bytes on, the transport had better write into the message itself.
const DIRECT_READ = 64 * 1024;
// And this many must have arrived: a peer that announces much and sends nothing isn't given the memory of a read.
const BEFORE_DIRECT_READ = 16 * 1024;
// What is read at once is unmasked at once, while the processor's cache still has it.
const LONGEST_DIRECT_READ = 256 * 1024;

/**
 * Puts messages together from frames (RFC 6455 5.4) with control frames in between (5.5), and checks what only
 * whole messages show: order of fragments, size, UTF-8 (8.1).
 */
export class MessageAssembler implements FrameSink, InflatedMessageSink {
  /** Reserved bits of the first frame of the message that is delivered. */
  rsv = 0;
  /** Whether that message is text although it is delivered as bytes: it needn't be UTF-8, or was wanted so. */
  opaque = false;
  /** Opcode of the message under way, 0 between messages. */
  opcode = CONTINUATION;

  /** The decoder that feeds this assembler. */
  readonly frames: FrameDecoder;
  readonly #sink: MessageSink;
  readonly #maxMessageSize: number;
  readonly #viewPayloads: boolean;
  readonly #textAsBytes: boolean;
  #length = 0; // of the message so far, the current frame's announced length included
  #filled = 0; // bytes of it in #buffer
  #buffer = EMPTY;
  #utf8: Utf8Validator | null = null;
  readonly #makeInflater: ((sink: InflatedMessageSink) => CompressedMessages) | null;
  #inflater: CompressedMessages | null = null; // made for the first compressed message
  #onInflated: ((error: unknown) => void) | null = null;
  #compressed = false; // the message under way is compressed
  #passing = false; // its pieces go to `chunks`
  #chunks: ChunkSink | null = null;
  // A control frame that came in parts; most come whole.
  #control: Uint8Array | null = null;
  #controlFilled = 0;

  /**
   * @param maxMessageSize Bytes, inclusive; 0 for no limit.
   * @param viewPayloads Whether whole binary payloads may be handed on as views of the source.
   * @param allowedRsv Reserved bits that an extension of the application gives a meaning.
   * @param textAsBytes Whether text is handed on as the bytes that it was checked as, unless it was compressed.
   * @param makeInflater Makes what takes messages with RSV1; `null` if compression wasn't agreed.
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
   * Takes the pieces of messages that come in several; `null` to put them together. Once set it stays. What has come of
   * an unfinished message is its first piece.
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
    // The buffer stays as it is for now: a read into it may be pending.
    sink.chunk(this.#buffer.bytes.slice(0, this.#filled));
  }

  /** Goes on inflating if `chunks` had no room and has some now; never calls it before it returns. */
  resume(): void {
    this.#inflater?.resume();
  }

  frameStart(): void {
    const { opcode, length } = this.frames;
    if (opcode >= CLOSE) return;
    if (opcode === CONTINUATION) {
      if (this.opcode === CONTINUATION) {
        throw new ProtocolError(
          PROTOCOL_ERROR,
          "unexpected-continuation",
          "Received a continuation without a message to continue",
        );
      }
      // RFC 7692 6.1: RSV1 belongs to the first fragment alone.
      if (this.#makeInflater !== null && (this.frames.rsv & RSV1) !== 0) badRsv();
    } else {
      if (this.opcode !== CONTINUATION) {
        throw new ProtocolError(
          PROTOCOL_ERROR,
          "expected-continuation",
          "Received a new message in the middle of an unfinished one",
        );
      }
      this.opcode = opcode;
      this.rsv = this.frames.rsv;
      if ((this.rsv & RSV1) !== 0) this.#compressed = this.#makeInflater !== null;
    }
    // What a compressed message will be long shows only when it is inflated.
    if (!this.#compressed) this.#length += length;
    if (this.#maxMessageSize !== 0 && this.#length > this.#maxMessageSize) {
      throw new ProtocolError(
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

  /** Where the next bytes of a large payload belong; `null` if they had better come by `frames.decode`. */
  directReadTarget(): Uint8Array | null {
    const { remaining, opcode } = this.frames;
    // The first piece decides where the others go, so that one has to be there anyway.
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

  /** Handles bytes that were put where `directReadTarget` said. */
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

  /** Gives back what the inflater holds; nothing may be decoded after it. */
  close(): void {
    this.discard();
    this.#inflater?.close();
  }

  /** Called by the inflater, with a whole message. */
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

  /** Whether a piece is all of its message; fragments without payload may have come before. */
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
      const string = decodeText(source.bytes, source.view, start, end);
      if (string === null) this.#opaque(source.bytes.slice(start, end));
      else this.#sink.message(string, false);
    } else if (this.#viewPayloads) {
      this.#sink.message(source.bytes.subarray(start, end), true);
    } else {
      this.#sink.message(copyPayload(source, start, end), false);
    }
  }

  /** Text that isn't UTF-8: if an extension has transformed it, it needn't be before it is transformed back. */
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
    // The final size is known in the last frame; before, it is at least what has been announced.
    let capacity = Math.max(needed * GROWTH, FIRST_CAPACITY);
    if (this.frames.fin && capacity >= this.#length / 2) capacity = this.#length;
    else if (this.#maxMessageSize !== 0) capacity = Math.min(capacity, this.#maxMessageSize);
    const bytes = new Uint8Array(capacity);
    bytes.set(this.#buffer.bytes.subarray(0, this.#filled));
    this.#buffer = { bytes, view: new DataView(bytes.buffer) };
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
    // An empty one too must be the application's own: it may transfer its buffer away.
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
      this.#sink.control(opcode, source.bytes.subarray(start, end));
      return;
    }
    if (this.#control === null) {
      this.#control = new Uint8Array(length);
      this.#controlFilled = 0;
    }
    this.#control.set(source.bytes.subarray(start, end), this.#controlFilled);
    this.#controlFilled += end - start;
    if (last) {
      const payload = this.#control;
      this.#control = null;
      this.#sink.control(opcode, payload);
    }
  }
}

function badRsv(): never {
  throw new ProtocolError(
    PROTOCOL_ERROR,
    "unexpected-rsv1",
    "Received a continuation with a reserved bit set",
  );
}

function notUtf8(): never {
  throw new ProtocolError(
    INVALID_PAYLOAD,
    "invalid-utf8",
    "Received a text message that is not UTF-8",
  );
}
