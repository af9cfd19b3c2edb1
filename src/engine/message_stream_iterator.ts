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
  /** Its type. */
  readonly type: "text" | "binary";
  /** Its bytes, UTF-8 for text, as they arrive. Cancelling it discards the rest of this message only. */
  readonly stream: ReadableStream<Uint8Array>;
}

/** What a message costs while it isn't taken, apart from its chunks and what the queue counts. */
const MESSAGE_COST = 1024 - 64;
/** What each chunk costs apart from its bytes, its buffer among it. */
const CHUNK_COST = 256;

/** What a message in pieces needs of its consumer. */
interface BodyOwner {
  /** Whether nothing is handed out for now; the body is woken when that may have ended. */
  holds(body: MessageBody): boolean;
  /** Counts what waits; if it sinks, reading may go on. */
  count(bytes: number): void;
  /** Something is awaited, or nothing is any more: reading may go on. */
  demanded(): void;
}

/** One message on its way to its reader: its chunks as they arrive, and the stream once it is taken. */
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

  /** Whether what comes of it is dropped. */
  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** Whether its reader waits for a chunk, or wants none. */
  get awaits(): boolean {
    return this.#pulled !== null || this.#cancelled;
  }

  /** Hands it to its reader. Nothing is read ahead of it by the stream itself. */
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

  /** The message in one piece again; `null` if it isn't whole. */
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

  /** The rest will not come. What has come is still handed out. */
  fail(error: unknown): void {
    this.#failure = error;
    this.wake();
  }

  /** Looks again for what a pull waits for. */
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

  /** Gives the next chunk, or the end; returns whether there was one. */
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

/** Takes messages as streams. What of them isn't read yet counts against `readAhead`. */
export class MessageStreamIterator extends MessageIterator<IncomingMessageStream>
  implements ChunkSink, BodyOwner {
  #bytes = 0;
  #current: MessageBody | null = null; // the one that is still arriving
  #counted = false; // whether the one that is arriving counts already: it has been queued
  #dropping = false;
  #waiting: Set<MessageBody> | null = null; // those whose reader waits for the end of a pause

  override get chunks(): ChunkSink {
    return this;
  }

  override get bytes(): number {
    return this.#bytes;
  }

  /** What isn't read of a message is in the way of the next one. */
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

  /** Ends the iteration, and with it the message that is still arriving: what comes is dropped from now on. */
  override return(): Promise<IteratorResult<IncomingMessageStream, undefined>> {
    // First, since to close goes on reading what a pause has held.
    this.discard();
    const result = super.return();
    // The pause has ended with it.
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
    // The pause has ended with it: what was taken before is still read.
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

/** Streams of bytes transfer the buffers of their chunks, so that one must not be shared with other messages. */
function withOwnBuffer(bytes: Uint8Array): Uint8Array {
  return bytes.length === bytes.buffer.byteLength ? bytes : bytes.slice();
}
