import { INVALID_PAYLOAD } from "../protocol/close_code.ts";
import type { Source } from "../protocol/frame_decoder.ts";
import type { CompressedMessages, InflatedMessageSink } from "../protocol/message_assembler.ts";
import { copyPayload } from "../protocol/payload_slab.ts";
import { ProtocolError } from "../protocol/protocol_error.ts";
import { decodeText } from "../protocol/text.ts";
import { type InflateDone, Inflater, type InflaterSettings, type InflateSink } from "./inflater.ts";
import { cancel, enqueue, type Sliced } from "./work_queue.ts";

// How long an inflated message is shows only at its end. It is collected in chunks and joined then,
// rather than in a buffer that grows: to move 16 MiB at once takes longer than a timer should wait.

const CHUNK = 64 * 1024;
/** What is copied at once when a long message is joined. */
const JOIN_SLICE = 1024 * 1024;

/** Inflates the compressed messages of a connection and puts them together. */
export class MessageInflater implements CompressedMessages, InflateSink, Sliced {
  readonly #inflater: Inflater;
  readonly #sink: InflatedMessageSink;
  #text = false;
  #chunks: Uint8Array[] = [];
  /** Bytes of the last chunk that are in use. */
  #used = 0;
  #buffered = 0;
  /** What a text has been decoded to so far, and by what. */
  #string = "";
  #decoder: TextDecoder | null = null;
  /** The message that is being joined, and how far it is. */
  #joined: Uint8Array | null = null;
  #joinedLength = 0;
  #done: InflateDone | null = null;
  #pushing: InflateDone | null = null;
  #closed = false;

  /**
   * @param settings What was agreed, and the limit.
   * @param sink Gets the messages.
   */
  constructor(settings: InflaterSettings, sink: InflatedMessageSink) {
    this.#inflater = new Inflater(settings, this);
    this.#sink = sink;
  }

  /** Whether a piece is being worked at in turns: until that is done nothing may be pushed. */
  get busy(): boolean {
    return this.#done !== null || this.#inflater.busy;
  }

  /** Bytes of an unfinished message that are held. */
  get buffered(): number {
    return this.#buffered;
  }

  /**
   * Takes the next piece of a message: part of a frame's payload, or all of it.
   *
   * @param text Whether the message is a text.
   * @param bytes Holds the piece. It is the caller's again on return.
   * @param start Where the piece starts.
   * @param end Where it ends.
   * @param final Whether the message ends with it.
   * @param done Called where this function returned false, when it is done, with the error where it failed.
   * @returns Whether all of it has been worked off, and the message handed on where it is complete.
   * @throws {ProtocolError} Where the message is corrupt, too long, or a text that isn't UTF-8.
   */
  push(
    text: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
    final: boolean,
    done: InflateDone,
  ): boolean {
    this.#text = text;
    this.#pushing = done;
    const complete = this.#inflater.push(bytes, start, end, final, this.#inflateDone);
    return complete && this.#done === null;
  }

  /** Gets inflated bytes; called by the inflater. */
  inflated(source: Source, start: number, end: number, last: boolean): void {
    const { bytes, view } = source;
    if (last && this.#buffered === 0) {
      if (this.#text) {
        const text = decodeText(bytes, view, start, end);
        if (text === null) throw notUtf8();
        this.#sink.inflatedMessage(text);
      } else {
        this.#sink.inflatedMessage(copyPayload(source, start, end));
      }
      return;
    }
    this.#buffered += end - start;
    if (this.#text) this.#addText(bytes, start, end, last);
    else this.#addBytes(bytes, start, end, last);
  }

  /** Joins the next slice of a long message; called by the turns. */
  slice(): boolean {
    const joined = this.#joined!;
    let budget = JOIN_SLICE;
    while (budget > 0 && this.#chunks.length > 0) {
      const chunk = this.#chunks.shift()!;
      joined.set(chunk, this.#joinedLength);
      this.#joinedLength += chunk.length;
      budget -= chunk.length;
    }
    if (this.#chunks.length > 0) return true;
    const done = this.#done!;
    this.#done = null;
    let error: unknown = null;
    try {
      this.#deliver(joined);
    } catch (problem) {
      error = problem;
    }
    if (!this.#closed) done(error);
    return false;
  }

  /** Stops what is under way and gives the memory back. */
  close(): void {
    this.#closed = true;
    if (this.#done !== null) {
      this.#done = null;
      cancel(this);
    }
    this.#reset();
    this.#inflater.close();
  }

  readonly #inflateDone: InflateDone = (error) => {
    // Where the message is being joined, its end is still to come.
    if (this.#done === null) this.#pushing!(error);
  };

  #addText(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    this.#decoder ??= new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    try {
      this.#string += this.#decoder.decode(bytes.subarray(start, end), { stream: !last });
    } catch {
      throw notUtf8();
    }
    if (!last) return;
    const text = this.#string;
    this.#reset();
    this.#sink.inflatedMessage(text);
  }

  #addBytes(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    const chunks = this.#chunks;
    while (start < end) {
      if (chunks.length === 0 || this.#used === CHUNK) {
        chunks.push(new Uint8Array(CHUNK));
        this.#used = 0;
      }
      const count = Math.min(end - start, CHUNK - this.#used);
      chunks[chunks.length - 1].set(bytes.subarray(start, start + count), this.#used);
      this.#used += count;
      start += count;
    }
    if (!last) return;
    chunks[chunks.length - 1] = chunks[chunks.length - 1].subarray(0, this.#used);
    const joined = new Uint8Array(this.#buffered);
    if (joined.length > JOIN_SLICE) {
      this.#joined = joined;
      this.#joinedLength = 0;
      this.#done = this.#pushing;
      enqueue(this);
      return;
    }
    let at = 0;
    for (const chunk of chunks) {
      joined.set(chunk, at);
      at += chunk.length;
    }
    this.#deliver(joined);
  }

  #deliver(message: Uint8Array): void {
    this.#reset();
    this.#sink.inflatedMessage(message);
  }

  #reset(): void {
    this.#chunks = [];
    this.#used = 0;
    this.#buffered = 0;
    this.#string = "";
    this.#decoder = null;
    this.#joined = null;
  }
}

function notUtf8(): ProtocolError {
  return new ProtocolError(INVALID_PAYLOAD, "Received a text message that is not UTF-8");
}
