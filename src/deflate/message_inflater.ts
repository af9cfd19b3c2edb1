import { INVALID_PAYLOAD } from "../protocol/close_code.ts";
import type { Source } from "../protocol/source.ts";
import type {
  ChunkSink,
  CompressedMessages,
  InflatedMessageSink,
} from "../protocol/message_assembler.ts";
import { copyPayload } from "../protocol/payload_slab.ts";
import { type ProtocolError, violation } from "../protocol/protocol_error.ts";
import { decodeText } from "../protocol/text.ts";
import { encodeUtf8, Utf8Validator } from "../protocol/utf8.ts";
import { type InflateDone, Inflater, type InflaterSettings, type InflateSink } from "./inflater.ts";
import { Fifo } from "../util/fifo.ts";
import { type Sliced, workQueue } from "./work_queue.ts";
import { concat, NOTHING } from "../util/bytes.ts";

// The length of an inflated message is known only at its end. So it is collected in chunks and joined then, and not in a
// buffer that grows: moving 16 MiB at once would take longer than a timer should wait.
//
// A consumer of streams (`claim`) gets the pieces as they are inflated, and sets the pace of the inflater:
//
// - Before each piece the inflater asks for the consumer's `room`. It inflates no more than that, and at most 64 KiB.
// - If the room is 0 it stops and is `busy`: it keeps the rest of the compressed piece, at most the bytes of one read,
//   and no further frame is decoded.
// - When the consumer has taken bytes, the connection calls `resume`, which asks for `room` again. It is cheap and does
//   nothing if there is no room or nothing waits, so it may be called at any time. Inflating continues in turns with other
//   connections. When the piece is done, `done` is called as for any other piece, and decoding continues.
// - `close` ends it in any state, and calls nothing back.
//
// So a message of any length needs only the memory of one read and the consumer's own room. A message that comes in one
// piece, fits the room, and is inflated at once is delivered whole, as without a consumer of streams.

const CHUNK = 64 * 1024;
/** Bytes that are copied per turn when a long message is joined. */
const JOIN_SLICE = 1024 * 1024;

/** Inflates the compressed messages of a connection, and assembles them unless a consumer takes them as streams. */
export class MessageInflater implements CompressedMessages, InflateSink, Sliced {
  readonly #inflater: Inflater;
  readonly #sink: InflatedMessageSink;
  #text = false;
  readonly #chunks = new Fifo<Uint8Array>();
  /** The last chunk, which is being filled, and the number of its bytes in use. */
  #chunk = NOTHING;
  #used = 0;
  #buffered = 0;
  /** The decoded part of a text, and its decoder. */
  #string = "";
  #decoder: TextDecoder | null = null;
  /** The bytes of an unfinished character at the end of the text so far. The decoder has them, but can't return them. */
  #unfinished: Uint8Array = NOTHING;
  /** The consumer of streams, whether it has got the beginning of this message, and the validator of a text for it. */
  #stream: ChunkSink | null = null;
  #streaming = false;
  #utf8: Utf8Validator | null = null;
  /** The message that is being joined, and its length so far. */
  #joined: Uint8Array | null = null;
  #joinedLength = 0;
  #done: InflateDone | null = null;
  #pushing: InflateDone | null = null;
  #closed = false;

  /**
   * @param settings The agreed parameters, and the limit.
   * @param sink Gets the messages.
   */
  constructor(settings: InflaterSettings, sink: InflatedMessageSink) {
    this.#inflater = new Inflater(settings, this);
    this.#sink = sink;
  }

  /** Whether a piece is being inflated in turns, or waits for room. Until that is over nothing may be pushed. */
  get busy(): boolean {
    return this.#done !== null || this.#inflater.busy;
  }

  /** Bytes of an unfinished message that are held; 0 if a consumer takes it as a stream. */
  get buffered(): number {
    return this.#buffered;
  }

  /** Bytes that may be inflated now; read by the inflater. */
  get room(): number {
    return this.#stream === null ? Infinity : this.#stream.room;
  }

  /**
   * Delivers messages in pieces from now on. The collected bytes of an unfinished message are its first piece, even if
   * there is no room for them. A complete message that is only being joined is still delivered whole.
   *
   * @param sink The consumer of the pieces.
   */
  claim(sink: ChunkSink): void {
    this.#stream = sink;
    if (this.#buffered === 0 || this.#done !== null) return;
    const start = encodeUtf8(this.#string), unfinished = this.#unfinished;
    const chunks = this.#takeChunks();
    this.#reset();
    this.#start();
    if (start.length > 0) sink.chunk(start);
    if (unfinished.length > 0) this.#pass(unfinished, 0, unfinished.length);
    for (const chunk of chunks) sink.chunk(chunk);
  }

  /** Continues if it waits for room and the consumer has some now; see the top of this file. */
  resume(): void {
    this.#inflater.resume();
  }

  /**
   * Inflates the next piece of a message: a part of a frame's payload, or all of it.
   *
   * @param text Whether the message is a text.
   * @param bytes The buffer with the piece. The caller may reuse it after the call.
   * @param start The start of the piece.
   * @param end The end of the piece.
   * @param final Whether the message ends with it.
   * @param done Called when the piece is done, or with the error if it failed; only if this function returned false.
   * @returns Whether the whole piece has been inflated, and the message delivered if it is complete.
   * @throws {ProtocolError} If the message is corrupt, too long, or a text that isn't UTF-8.
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
    if (this.#streaming || (this.#stream !== null && !last)) {
      if (!this.#streaming) this.#start();
      this.#pass(bytes, start, end);
      if (last) this.#end();
      return;
    }
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

  /** Joins the next slice of a long message; called by the work queue. */
  slice(): boolean {
    const joined = this.#joined!;
    let budget = JOIN_SLICE;
    while (budget > 0 && this.#chunks.length > 0) {
      const chunk = this.#filled(this.#chunks.shift()!);
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

  /** Drops the unfinished message and frees the memory. */
  close(): void {
    this.#closed = true;
    if (this.#done !== null) {
      this.#done = null;
      workQueue.cancel(this);
    }
    this.#reset();
    this.#inflater.close();
  }

  readonly #inflateDone: InflateDone = (error) => {
    // If the message is being joined, `slice` calls back at its end.
    if (this.#done === null) this.#pushing!(error);
  };

  #start(): void {
    this.#streaming = true;
    if (this.#text) (this.#utf8 ??= new Utf8Validator()).reset();
    this.#stream!.start(this.#text);
  }

  #pass(bytes: Uint8Array, start: number, end: number): void {
    if (start === end) return;
    const chunk = bytes.slice(start, end);
    if (this.#text && !this.#utf8!.push(new DataView(chunk.buffer), 0, chunk.length)) {
      throw notUtf8();
    }
    this.#stream!.chunk(chunk);
  }

  #end(): void {
    this.#streaming = false;
    if (this.#text && !this.#utf8!.complete) throw notUtf8();
    this.#stream!.end();
  }

  #addText(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    this.#decoder ??= new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    try {
      this.#string += this.#decoder.decode(bytes.subarray(start, end), { stream: !last });
    } catch {
      throw notUtf8();
    }
    if (!last) {
      this.#unfinished = unfinishedCharacter(this.#unfinished, bytes, start, end);
      return;
    }
    const text = this.#string;
    this.#reset();
    this.#sink.inflatedMessage(text);
  }

  #addBytes(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    while (start < end) {
      if (this.#used === this.#chunk.length) {
        this.#chunks.push(this.#chunk = new Uint8Array(CHUNK));
        this.#used = 0;
      }
      const count = Math.min(end - start, CHUNK - this.#used);
      this.#chunk.set(bytes.subarray(start, start + count), this.#used);
      this.#used += count;
      start += count;
    }
    if (!last) return;
    if (this.#buffered > JOIN_SLICE) {
      this.#joined = new Uint8Array(this.#buffered);
      this.#joinedLength = 0;
      this.#done = this.#pushing;
      workQueue.enqueue(this);
      return;
    }
    this.#deliver(concat(this.#takeChunks(), this.#buffered));
  }

  /** Takes the collected chunks. */
  #takeChunks(): Uint8Array[] {
    return this.#chunks.drain().map((chunk) => this.#filled(chunk));
  }

  #filled(chunk: Uint8Array): Uint8Array {
    return chunk === this.#chunk ? chunk.subarray(0, this.#used) : chunk;
  }

  #deliver(message: Uint8Array): void {
    this.#reset();
    this.#sink.inflatedMessage(message);
  }

  #reset(): void {
    this.#chunks.clear();
    this.#chunk = NOTHING;
    this.#used = 0;
    this.#buffered = 0;
    this.#string = "";
    this.#decoder = null;
    this.#unfinished = NOTHING;
    this.#joined = null;
    this.#streaming = false;
  }
}

/**
 * Returns the bytes of an unfinished character at the end of valid text. `before` is the unfinished character before the
 * bytes from `start` to `end`.
 */
function unfinishedCharacter(
  before: Uint8Array,
  bytes: Uint8Array,
  start: number,
  end: number,
): Uint8Array {
  // A character has at most four bytes, so the first byte of an unfinished one is among the last three.
  let text = bytes.subarray(Math.max(start, end - 3), end);
  if (before.length > 0 && text.length < 3) {
    text = concat([before, text]);
  }
  for (let back = 1; back <= Math.min(3, text.length); back++) {
    const byte = text[text.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return length > back ? text.slice(text.length - back) : NOTHING;
  }
  return NOTHING;
}

function notUtf8(): ProtocolError {
  return violation(
    INVALID_PAYLOAD,
    "invalid-utf8",
    "Received a text message that is not UTF-8",
  );
}
