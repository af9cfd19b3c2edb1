import { PROTOCOL_ERROR, TOO_BIG } from "./close_code.ts";
import { advanceKey, applyMask } from "./mask.ts";
import { BINARY, CLOSE, FIN, PONG, type Role, RSV, RSV1, TEXT } from "./opcode.ts";
import { LONGEST_CONTROL } from "./frame_header.ts";
import { violation } from "./protocol_error.ts";
import type { Source } from "./source.ts";
import { decodeText } from "./text.ts";
import { TextRun } from "./text_run.ts";

/** Gets the frames of a decoder. Either call may throw a `ProtocolError`. */
export interface FrameSink {
  /** A frame with a legal header begins; the decoder has its fields. */
  frameStart(): void;
  /** Payload, unmasked in place; `last` ends the frame. A frame without payload makes one empty call. */
  frameData(source: Source, start: number, end: number, last: boolean): void;
}

const FIRST = 0;
const SECOND = 1;
const LENGTH = 2;
const KEY = 3;
const PAYLOAD = 4;

/**
 * Incremental decoder of frames (RFC 6455 5.2) for either role. Input may be split anywhere. A header is checked
 * byte by byte, so an illegal one fails before anything after it has arrived.
 */
export class FrameDecoder {
  /** The fields of the frame that is being received. */
  fin = false;
  rsv = 0;
  opcode = 0;
  length = 0;
  /** Set to stop after the current frame or its header; to be cleared before decoding continues. */
  stopRequested = false;

  #sink: FrameSink;
  // Clients mask, servers don't (RFC 6455 5.1): we require the opposite of what our own role does.
  readonly #maskBit: number;
  readonly #allowedRsv: number;
  #stage = FIRST;
  #missing = 0; // bytes of the length or the key that have not come yet
  #minimum = 0; // the smallest length that may be encoded in the form used
  #key = 0;
  #remaining = 0;
  #end = 0; // of the bytes that are being decoded
  #texts: TextRun | null = null; // made when texts come together

  /** @param allowedRsv Reserved bits that a negotiated extension uses. */
  constructor(role: Role, sink: FrameSink, allowedRsv = 0) {
    this.#maskBit = role === "server" ? 0x80 : 0;
    this.#sink = sink;
    this.#allowedRsv = allowedRsv;
  }

  /** Replaces the sink, even in the middle of a frame. */
  redirect(sink: FrameSink): void {
    this.#sink = sink;
  }

  /** Payload bytes of the current frame that have not come yet. */
  get remaining(): number {
    return this.#stage === PAYLOAD ? this.#remaining : 0;
  }

  /** Decodes `source[start..end)`; returns the position where it stopped, `end` unless a stop was requested. */
  decode(source: Source, start: number, end: number): number {
    const view = source.view;
    let at = start;
    this.#end = end;
    this.#texts?.startAt(start);
    while (at < end) {
      if (this.#stage === PAYLOAD) {
        at = this.#payload(source, at, end);
      } else if (this.#stage === FIRST && end - at >= 14) {
        // Enough for the longest header: it is read at once, without stages.
        this.#first(view.getUint8(at));
        let length = view.getUint8(at + 1);
        this.#second(length);
        length &= 0x7f;
        at += 2;
        if (length === 126) {
          length = view.getUint16(at);
          this.#minimum = 126;
          at += 2;
        } else if (length === 127) {
          length = longLength(view.getUint32(at), view.getUint32(at + 4));
          this.#minimum = 65536;
          at += 8;
        }
        if (this.#maskBit !== 0) {
          this.#key = view.getInt32(at, true);
          at += 4;
        }
        this.length = length;
        this.#begin();
        if (this.stopRequested && length > 0) break;
        at = this.#payload(source, at, end);
      } else {
        this.#headerByte(view.getUint8(at++));
        if (this.#stage === PAYLOAD && this.#remaining === 0) this.#payload(source, at, at);
      }
      if (this.stopRequested && (this.#stage === FIRST || this.#stage === PAYLOAD)) break;
    }
    return at;
  }

  /** Decodes the text of the frame that has just ended, if it is the whole message; `null` if it isn't UTF-8. */
  text(source: Source, start: number, end: number): string | null {
    const limit = this.#end;
    const moreCome = end < limit && source.view.getUint8(end) === (FIN | TEXT);
    if (moreCome) this.#texts ??= new TextRun(this.#maskBit);
    const texts = this.#texts;
    const text = texts !== null && (moreCome || texts.open)
      ? texts.decode(source, start, end, limit)
      : null;
    return text ?? decodeText(source.bytes, source.view, start, end);
  }

  #payload(source: Source, at: number, end: number): number {
    const remaining = this.#remaining;
    if (end - at > remaining) end = at + remaining;
    const count = end - at;
    if (this.#key !== 0 && count > 0) {
      applyMask(source.view, at, end, this.#key);
      if (count < remaining) this.#key = advanceKey(this.#key, count);
    }
    this.#remaining = remaining - count;
    const last = count === remaining;
    if (last) this.#stage = FIRST;
    if (last || count > 0) this.#sink.frameData(source, at, end, last);
    return end;
  }

  #headerByte(byte: number): void {
    switch (this.#stage) {
      case FIRST:
        this.#first(byte);
        this.#stage = SECOND;
        return;
      case SECOND: {
        this.#second(byte);
        const short = byte & 0x7f;
        this.length = 0;
        if (short < 126) {
          this.length = short;
          this.#lengthDone();
        } else {
          this.#missing = short === 126 ? 2 : 8;
          this.#minimum = short === 126 ? 126 : 65536;
          this.#stage = LENGTH;
        }
        return;
      }
      case LENGTH:
        this.length = this.length * 256 + byte;
        if (this.length > Number.MAX_SAFE_INTEGER) tooLong();
        if (this.#missing === 8 && byte > 0x7f) badLength();
        if (--this.#missing === 0) this.#lengthDone();
        return;
      case KEY:
        this.#key |= byte << ((4 - this.#missing) << 3);
        if (--this.#missing === 0) this.#begin();
    }
  }

  #lengthDone(): void {
    if (this.#maskBit !== 0) {
      this.#checkLength();
      this.#key = 0;
      this.#missing = 4;
      this.#stage = KEY;
    } else {
      this.#begin();
    }
  }

  #first(byte: number): void {
    const opcode = byte & 0x0f, rsv = byte & RSV;
    if (opcode > PONG || (opcode > BINARY && opcode < CLOSE)) {
      throw violation(
        PROTOCOL_ERROR,
        "invalid-opcode",
        `Received a frame with reserved opcode ${opcode}`,
      );
    }
    // No extension that we implement uses the reserved bits of control frames.
    if (rsv !== 0 && (opcode >= CLOSE || (rsv & ~this.#allowedRsv) !== 0)) {
      throw violation(
        PROTOCOL_ERROR,
        (rsv & RSV1) !== 0 ? "unexpected-rsv1" : "unexpected-rsv",
        "Received a frame with a reserved bit set",
      );
    }
    if (opcode >= CLOSE && (byte & FIN) === 0) {
      throw violation(
        PROTOCOL_ERROR,
        "expected-fin",
        "Received a fragmented control frame",
      );
    }
    this.fin = (byte & FIN) !== 0;
    this.rsv = rsv;
    this.opcode = opcode;
    this.#minimum = 0;
  }

  #second(byte: number): void {
    if ((byte & 0x80) !== this.#maskBit) {
      throw violation(
        PROTOCOL_ERROR,
        this.#maskBit === 0 ? "unexpected-mask" : "expected-mask",
        this.#maskBit === 0
          ? "Received a masked frame from a server"
          : "Received an unmasked frame from a client",
      );
    }
    if (this.opcode >= CLOSE && (byte & 0x7f) > LONGEST_CONTROL) {
      throw violation(
        PROTOCOL_ERROR,
        "invalid-control-length",
        `Received a control frame of more than ${LONGEST_CONTROL} bytes`,
      );
    }
  }

  #checkLength(): void {
    if (this.length < this.#minimum) {
      throw violation(
        PROTOCOL_ERROR,
        "invalid-length",
        "Received a frame length that is not in its minimal form",
      );
    }
  }

  #begin(): void {
    this.#checkLength();
    this.#remaining = this.length;
    this.#stage = PAYLOAD;
    this.#sink.frameStart();
  }
}

function longLength(high: number, low: number): number {
  if (high > 0x7fffffff) badLength();
  // The sum would be kept as a float, and so would all positions that are counted from it.
  if (high === 0 && low < 0x80000000) return low | 0;
  const length = high * 0x100000000 + low;
  if (length > Number.MAX_SAFE_INTEGER) tooLong();
  return length;
}

function badLength(): never {
  throw violation(
    PROTOCOL_ERROR,
    "invalid-length",
    "Received a frame length with its highest bit set",
  );
}

function tooLong(): never {
  throw violation(
    TOO_BIG,
    "invalid-length",
    "Received a frame header that announces more than 2^53 bytes",
  );
}
