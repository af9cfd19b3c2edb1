import { INVALID_PAYLOAD } from "../protocol/close_code.ts";
import type { Source } from "../protocol/frame_decoder.ts";
import type {
  ChunkSink,
  CompressedMessages,
  InflatedMessageSink,
} from "../protocol/message_assembler.ts";
import { copyPayload } from "../protocol/payload_slab.ts";
import { ProtocolError } from "../protocol/protocol_error.ts";
import { decodeText } from "../protocol/text.ts";
import { encodeUtf8, Utf8Validator } from "../protocol/utf8.ts";
import { type InflateDone, Inflater, type InflaterSettings, type InflateSink } from "./inflater.ts";
import { Fifo } from "../util/fifo.ts";
import { cancel, enqueue, type Sliced } from "./work_queue.ts";
import { concat, NOTHING } from "../util/bytes.ts";

// How long an inflated message is shows only at its end. It is collected in chunks and joined then,
// rather than in a buffer that grows: to move 16 MiB at once takes longer than a timer should wait.
//
// A consumer of streams (`claim`) gets the pieces as they are inflated instead, and the inflater is then driven by it:
//
// - Before each piece the inflater asks for the consumer's `room`. It inflates no more than that, and at most 64 KiB.
// - With a room of 0 it stops and is `busy`: it keeps what is left of the compressed piece at hand, at most what one
//   read has brought, and nothing more is decoded.
// - When the consumer has taken something, the connection calls `resume`, which looks at `room` again. It is cheap, and
//   does nothing while there is none or nothing waits, so it may be called at any time. What goes on goes on in turns
//   with other connections; when the piece is through, `done` is called as for any other and decoding continues.
// - `close` ends it from any state, and calls nothing back.
//
// So a message of any length passes in the memory of one read and the consumer's own room. A message that comes in one
// piece, fits the room, and is inflated at once is handed on whole, as without a consumer of streams.

const CHUNK = 64 * 1024;
/** What is copied at once when a long message is joined. */
const JOIN_SLICE = 1024 * 1024;

/** Inflates the compressed messages of a connection, and puts them together unless they are taken as streams. */
export class MessageInflater implements CompressedMessages, InflateSink, Sliced {
  readonly #inflater: Inflater;
  readonly #sink: InflatedMessageSink;
  #text = false;
  readonly #chunks = new Fifo<Uint8Array>();
  /** The chunk that is being filled, the last one; and how many of its bytes are in use. */
  #chunk = NOTHING;
  #used = 0;
  #buffered = 0;
  /** What a text has been decoded to so far, and by what. */
  #string = "";
  #decoder: TextDecoder | null = null;
  /** The start of a character whose end hasn't come, which the decoder has and won't give back. */
  #unfinished: Uint8Array = NOTHING;
  /** The consumer that takes messages as streams; whether it has got the beginning of this message; what checks its text. */
  #stream: ChunkSink | null = null;
  #streaming = false;
  #utf8: Utf8Validator | null = null;
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

  /** Whether a piece is being worked at in turns or waits for room: until that is done nothing may be pushed. */
  get busy(): boolean {
    return this.#done !== null || this.#inflater.busy;
  }

  /** Bytes of an unfinished message that are held; none if it is taken as a stream. */
  get buffered(): number {
    return this.#buffered;
  }

  /** Bytes that may be inflated now; read by the inflater. */
  get room(): number {
    return this.#stream === null ? Infinity : this.#stream.room;
  }

  /**
   * Hands over messages in pieces from now on. What has been collected of an unfinished message is the first piece,
   * whether there is room for it or not; one that is complete and only being joined still comes whole.
   *
   * @param sink The consumer that takes them.
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

  /** Goes on if it had to stop since the consumer had no room, and there is some now; see the top of this file. */
  resume(): void {
    this.#inflater.resume();
  }

  /**
   * Takes the next piece of a message: part of a frame's payload, or all of it.
   *
   * @param text Whether the message is a text.
   * @param bytes Holds the piece. It is the caller's again on return.
   * @param start Where the piece starts.
   * @param end Where it ends.
   * @param final Whether the message ends with it.
   * @param done Called when it is done, with the error if it failed, if this function returned false.
   * @returns Whether all of it has been worked off, and the message handed on if it is complete.
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

  /** Joins the next slice of a long message; called by the turns. */
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
    // If the message is being joined, its end is still to come.
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
      enqueue(this);
      return;
    }
    this.#deliver(concat(this.#takeChunks(), this.#buffered));
  }

  /** What has been collected. */
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

/** The start of a character at the end of valid text, of which all but `bytes` from `start` to `end` is in `before`. */
function unfinishedCharacter(
  before: Uint8Array,
  bytes: Uint8Array,
  start: number,
  end: number,
): Uint8Array {
  // A character has four bytes at most: its first one is among the last three, or all of it is here.
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
  return new ProtocolError(
    INVALID_PAYLOAD,
    "invalid-utf8",
    "Received a text message that is not UTF-8",
  );
}
