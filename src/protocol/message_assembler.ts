import { INVALID_PAYLOAD, PROTOCOL_ERROR, TOO_BIG } from "./close_code.ts";
import { FrameDecoder, type FrameSink, type Source } from "./frame_decoder.ts";
import { CLOSE, CONTINUATION, type Role, TEXT } from "./opcode.ts";
import { copyPayload } from "./payload_slab.ts";
import { ProtocolError } from "./protocol_error.ts";
import { decodeText, decodeValidText } from "./text.ts";
import { Utf8Validator } from "./utf8.ts";

/** Where whole messages and control frames go. */
export interface MessageSink {
  /** A whole message: a string for text, bytes for binary; a view of the source where `lent`. */
  message(data: string | Uint8Array, lent: boolean): void;
  /** A ping, pong or close frame with its payload. */
  control(opcode: number, payload: Uint8Array): void;
}

const EMPTY: Source = { bytes: new Uint8Array(0), view: new DataView(new ArrayBuffer(0)) };
// The first allocation for a message that comes in parts, and how it grows: a header that announces much costs
// nothing until the bytes are there, and a message is copied once or twice on its way, not logarithmically often.
const FIRST_CAPACITY = 4 * 1024;
const GROWTH = 4;

/**
 * Puts messages together from frames (RFC 6455 5.4) with control frames in between (5.5), and checks what only
 * whole messages show: order of fragments, size, UTF-8 (8.1).
 */
export class MessageAssembler implements FrameSink {
  /** Reserved bits of the first frame of the message that is delivered. */
  rsv = 0;
  /** Whether that message is text although it is delivered as bytes. */
  opaque = false;
  /** Opcode of the message under way, 0 between messages. */
  opcode = CONTINUATION;

  /** The decoder that feeds this assembler. */
  readonly frames: FrameDecoder;
  readonly #sink: MessageSink;
  readonly #maxMessageSize: number;
  readonly #lend: boolean;
  #length = 0; // of the message so far, the current frame's announced length included
  #filled = 0; // bytes of it in #buffer
  #buffer = EMPTY;
  #utf8: Utf8Validator | null = null;
  // A control frame that came in parts; most come whole.
  #control: Uint8Array | null = null;
  #controlFilled = 0;

  /**
   * @param maxMessageSize Bytes, inclusive; 0 for no limit.
   * @param lend Whether whole binary payloads may be handed on as views of the source.
   * @param allowedRsv Reserved bits that a negotiated extension gives a meaning.
   */
  constructor(
    role: Role,
    sink: MessageSink,
    maxMessageSize: number,
    lend: boolean,
    allowedRsv: number,
  ) {
    this.frames = new FrameDecoder(role, this, allowedRsv);
    this.#sink = sink;
    this.#maxMessageSize = maxMessageSize;
    this.#lend = lend;
  }

  /** Bytes of an unfinished message that are held. */
  get buffered(): number {
    return this.#filled;
  }

  frameStart(): void {
    const { opcode, length } = this.frames;
    if (opcode >= CLOSE) return;
    if (opcode === CONTINUATION) {
      if (this.opcode === CONTINUATION) {
        throw new ProtocolError(
          PROTOCOL_ERROR,
          "Received a continuation without a message to continue",
        );
      }
    } else {
      if (this.opcode !== CONTINUATION) {
        throw new ProtocolError(PROTOCOL_ERROR, "Received a new message amid an unfinished one");
      }
      this.opcode = opcode;
      this.rsv = this.frames.rsv;
    }
    this.#length += length;
    if (this.#maxMessageSize !== 0 && this.#length > this.#maxMessageSize) {
      throw new ProtocolError(
        TOO_BIG,
        `Received a message of at least ${this.#length} bytes: the limit is ${this.#maxMessageSize}`,
      );
    }
  }

  frameData(source: Source, start: number, end: number, last: boolean): void {
    const frames = this.frames;
    if (frames.opcode >= CLOSE) {
      this.#controlData(source.bytes, start, end, last);
    } else if (last && frames.fin && end - start === this.#length) {
      this.#whole(source, start, end);
    } else {
      this.#part(source, start, end);
      if (last && frames.fin) this.#assembled();
    }
  }

  /** Forgets an unfinished message. */
  discard(): void {
    this.#buffer = EMPTY;
    this.#filled = 0;
    this.#length = 0;
    this.#control = null;
    this.opcode = CONTINUATION;
  }

  #whole({ bytes, view }: Source, start: number, end: number): void {
    const text = this.opcode === TEXT;
    this.#length = 0;
    this.opcode = CONTINUATION;
    if (text) {
      const string = decodeText(bytes, view, start, end);
      if (string === null) this.#opaque(bytes.slice(start, end));
      else this.#sink.message(string, false);
    } else if (this.#lend) {
      this.#sink.message(bytes.subarray(start, end), true);
    } else {
      this.#sink.message(copyPayload(bytes, start, end), false);
    }
  }

  /** Text that isn't UTF-8: where an extension has transformed it, it needn't be before it is transformed back. */
  #opaque(bytes: Uint8Array): void {
    if (this.rsv === 0) notUtf8();
    this.opaque = true;
    this.#sink.message(bytes, false);
    this.opaque = false;
  }

  #part(source: Source, start: number, end: number): void {
    if (this.opcode === TEXT && this.rsv === 0) {
      if (this.#filled === 0) (this.#utf8 ??= new Utf8Validator()).reset();
      if (!this.#utf8!.push(source.view, start, end)) notUtf8();
    }
    const filled = this.#filled + end - start;
    if (filled > this.#buffer.bytes.length) this.#grow(filled);
    this.#buffer.bytes.set(source.bytes.subarray(start, end), this.#filled);
    this.#filled = filled;
  }

  #grow(needed: number): void {
    // The final size is known in the last frame; before, it is at least what has been announced.
    let capacity = Math.max(needed * GROWTH, FIRST_CAPACITY);
    if (this.frames.fin && capacity > this.#length / 2) capacity = this.#length;
    else if (this.#maxMessageSize !== 0) capacity = Math.min(capacity, this.#maxMessageSize);
    const bytes = new Uint8Array(capacity);
    bytes.set(this.#buffer.bytes.subarray(0, this.#filled));
    this.#buffer = { bytes, view: new DataView(bytes.buffer) };
  }

  #assembled(): void {
    const { bytes, view } = this.#buffer, length = this.#length, text = this.opcode === TEXT;
    this.discard();
    if (text && this.rsv !== 0) {
      const string = decodeText(bytes, view, 0, length);
      if (string === null) this.#opaque(bytes.slice(0, length));
      else this.#sink.message(string, false);
    } else if (text) {
      if (!this.#utf8!.complete) notUtf8();
      this.#sink.message(decodeValidText(bytes, 0, length), false);
    } else {
      this.#sink.message(bytes.length === length ? bytes : bytes.slice(0, length), false);
    }
  }

  #controlData(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    const { opcode, length } = this.frames;
    if (last && end - start === length) {
      this.#sink.control(opcode, copyPayload(bytes, start, end));
      return;
    }
    if (this.#control === null) {
      this.#control = new Uint8Array(length);
      this.#controlFilled = 0;
    }
    this.#control.set(bytes.subarray(start, end), this.#controlFilled);
    this.#controlFilled += end - start;
    if (last) {
      const payload = this.#control;
      this.#control = null;
      this.#sink.control(opcode, payload);
    }
  }
}

function notUtf8(): never {
  throw new ProtocolError(INVALID_PAYLOAD, "Received a text message that is not UTF-8");
}
