import type { QueuedMessage, ReceivedMessage } from "../flow/receive_queue.ts";
import type { ChunkSink } from "../protocol/message_assembler.ts";
import { decodeValidText } from "../protocol/text.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import { concat } from "../util/bytes.ts";
import { Fifo } from "../util/fifo.ts";
import { MessageIterator } from "./message_iterator.ts";

/**
 * A message that may still be arriving.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({
 *   hostname: "127.0.0.1",
 *   onMessage: (conn, data) => void conn.send(data),
 * });
 * const conn = ctx.connect(listener.url);
 * await conn.opened;
 * conn.send("large");
 * for await (const { type, stream } of conn.messageStreams()) {
 *   let length = 0;
 *   for await (const chunk of stream) length += chunk.length;
 *   console.log(`${type} of ${length} bytes`);
 *   break;
 * }
 * ```
 */
export interface IncomingMessageStream {
  /** The type of the message. */
  readonly type: "text" | "binary";
  /** The bytes of the message as they arrive, UTF-8 for text. Cancelling it discards the rest of this message only. */
  readonly stream: ReadableStream<Uint8Array>;
}

/** Memory of a message that isn't taken yet, in bytes, apart from its chunks and what the queue counts. */
const MESSAGE_COST = 1024 - 64;
/** Memory of each chunk apart from its bytes, its buffer object included. */
const CHUNK_COST = 256;

/** What a message in pieces needs from its consumer. */
interface BodyOwner {
  /** Whether nothing is handed out for now. The body is woken when that may have changed. */
  holds(body: MessageBody): boolean;
  /** Adds to the bytes that wait. If the number is negative, reading may continue. */
  count(bytes: number): void;
  /** The reader's demand has changed: reading may continue. */
  demanded(): void;
}

/** One message for its reader: its chunks as they arrive, and the stream once the message is taken. */
class MessageBody {
  readonly length = MESSAGE_COST;
  readonly #text: boolean;
  readonly #owner: BodyOwner;
  readonly #chunks = new Fifo<Uint8Array>();
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  #pulled: (() => void) | null = null; // settles the pull that waits
  #complete = false;
  #cancelled = false;
  #failure: unknown = null;

  constructor(owner: BodyOwner, text: boolean) {
    this.#owner = owner;
    this.#text = text;
  }

  /** Whether the rest of the message is dropped. */
  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** Whether the reader waits for a chunk, or has cancelled. */
  get awaits(): boolean {
    return this.#pulled !== null || this.#cancelled;
  }

  /** Makes the stream for the reader. The stream itself reads nothing ahead. */
  open(): IncomingMessageStream {
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => this.#pull(),
      cancel: () => this.#cancel(),
    }, { highWaterMark: 0 });
    return { type: this.#text ? "text" : "binary", stream };
  }

  /** Returns the whole message; `null` if it isn't complete. */
  whole(): ReceivedMessage | null {
    if (!this.#complete) return null;
    const bytes = concat(this.#chunks.drain());
    return this.#text ? decodeValidText(bytes, 0, bytes.length) : bytes;
  }

  push(chunk: Uint8Array): void {
    if (this.#cancelled || chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#owner.count(chunk.length + CHUNK_COST);
    this.wake();
  }

  end(): void {
    this.#complete = true;
    this.wake();
  }

  /** The rest will not come. The chunks that have come are still handed out. */
  fail(error: unknown): void {
    this.#failure = error;
    this.wake();
  }

  /** Serves the pull that waits, if there is something for it now. */
  wake(): void {
    const pulled = this.#pulled;
    if (pulled === null || !this.#give()) return;
    this.#pulled = null;
    pulled();
  }

  #pull(): Promise<void> | void {
    if (this.#give()) return;
    return new Promise((resolve) => {
      this.#pulled = resolve;
      this.#owner.demanded();
    });
  }

  /** Gives the next chunk, the end or the error to the stream; returns whether there was one. */
  #give(): boolean {
    if (this.#owner.holds(this)) return false;
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#controller!.enqueue(chunk);
      this.#owner.count(-chunk.length - CHUNK_COST);
      return true;
    }
    if (this.#complete) this.#controller!.close();
    else if (this.#failure !== null) this.#controller!.error(this.#failure);
    else return false;
    return true;
  }

  #cancel(): void {
    this.#cancelled = true;
    let bytes = 0;
    for (const chunk of this.#chunks.drain()) bytes -= chunk.length + CHUNK_COST;
    this.#owner.count(bytes);
    this.#pulled?.();
    this.#pulled = null;
    this.#owner.demanded();
  }
}

/** Takes messages as streams. Bytes that aren't read yet count against `readAhead`. */
export class MessageStreamIterator extends MessageIterator<IncomingMessageStream>
  implements ChunkSink, BodyOwner {
  #bytes = 0;
  #current: MessageBody | null = null; // the one that is still arriving
  #counted = false; // whether the one that is arriving has been queued
  #dropping = false;
  #waiting: Set<MessageBody> | null = null; // bodies whose reader waits for the end of a pause

  override get chunks(): ChunkSink {
    return this;
  }

  override get bytes(): number {
    return this.#bytes;
  }

  /** An unread rest of a message blocks the next one. */
  override get awaits(): boolean {
    return this.#current === null ? super.awaits : this.#current.awaits;
  }

  get room(): number {
    return this.#dropping || this.#current?.cancelled ? Infinity : this.receiver.room;
  }

  start(text: boolean): void {
    this.#counted = !this.#dropping;
    if (this.#dropping) return;
    this.#current = new MessageBody(this, text);
    this.receiver.keep(this.#current);
  }

  chunk(bytes: Uint8Array): void {
    this.#current?.push(bytes);
  }

  end(): void {
    const body = this.#current;
    this.#current = null;
    body?.end();
    this.receiver.count(this.#counted);
    this.receiver.reschedule();
  }

  override wrap(data: ReceivedMessage): QueuedMessage {
    const body = new MessageBody(this, typeof data === "string");
    body.push(typeof data === "string" ? encodeUtf8(data) : withOwnBuffer(data));
    body.end();
    return body;
  }

  override restore(message: QueuedMessage): ReceivedMessage | null {
    return (message as MessageBody).whole();
  }

  /** Ends the iteration. The message that is still arriving fails, and its rest is dropped. */
  override return(): Promise<IteratorResult<IncomingMessageStream, undefined>> {
    // Before closing, since that ends a pause and continues reading.
    this.discard();
    const result = super.return();
    // Closing has ended the pause.
    this.#wakeWaiting();
    return result;
  }

  protected override unwrap(message: QueuedMessage): IncomingMessageStream {
    return (message as MessageBody).open();
  }

  override wake(): void {
    if (this.receiver.record !== null) this.#failCurrent();
    this.#wakeWaiting();
    super.wake();
  }

  override discard(): void {
    this.#dropping = true;
    this.#failCurrent();
    // Closing has ended the pause: messages that were taken before can still be read.
    this.#wakeWaiting();
  }

  holds(body: MessageBody): boolean {
    const { paused } = this.receiver;
    if (paused) (this.#waiting ??= new Set()).add(body);
    return paused;
  }

  count(bytes: number): void {
    if (bytes < 0) this.receiver.noteFill();
    this.#bytes += bytes;
    if (bytes < 0) this.receiver.reschedule();
  }

  demanded(): void {
    this.receiver.reschedule();
  }

  #wakeWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    for (const body of waiting ?? []) body.wake();
  }

  #failCurrent(): void {
    this.#current?.fail(this.receiver.closedError("read the rest of a message"));
    this.#current = null;
  }
}

/** A consumer may transfer the buffer of a chunk, so it must not be shared with other messages. */
function withOwnBuffer(bytes: Uint8Array): Uint8Array {
  return bytes.length === bytes.buffer.byteLength ? bytes : bytes.slice();
}
