import type { Receiver, Taker } from "./receiver.ts";
import type { ReceivedMessage } from "../flow/receive_queue.ts";
import { NORMAL } from "../protocol/close_code.ts";
import { isOrderly } from "../protocol/close_record.ts";
import type { ChunkSink } from "../protocol/message_assembler.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";

/** A message that may still be arriving. */
export interface IncomingMessageStream {
  /** Its type. */
  readonly type: "text" | "binary";
  /** Its bytes, UTF-8 for text, as they arrive. Cancelling it discards the rest of this message only. */
  readonly stream: ReadableStream<Uint8Array>;
}

/** What each chunk costs besides its bytes. */
const OVERHEAD = 64;

/** One message on its way to its reader. */
class MessageBody implements IncomingMessageStream {
  readonly type: "text" | "binary";
  readonly stream: ReadableStream<Uint8Array>;
  readonly #owner: MessageStreamIterator;
  #chunks: Uint8Array[] = [];
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #wanted: (() => void) | null = null;
  #complete = false;
  #cancelled = false;

  constructor(owner: MessageStreamIterator, text: boolean) {
    this.#owner = owner;
    this.type = text ? "text" : "binary";
    this.stream = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => this.#pull(),
      cancel: () => this.#cancel(),
    }, { highWaterMark: 0 });
  }

  /** Whether what comes of it is dropped. */
  get cancelled(): boolean {
    return this.#cancelled;
  }

  push(chunk: Uint8Array): void {
    if (this.#cancelled || chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#owner.count(chunk.length + OVERHEAD);
    this.#give();
  }

  end(): void {
    this.#complete = true;
    this.#give();
  }

  fail(error: unknown): void {
    if (this.#complete || this.#cancelled) return;
    this.#cancelled = true;
    this.#controller.error(error);
  }

  #pull(): Promise<void> | void {
    if (this.#chunks.length > 0 || this.#complete) return this.#next();
    return new Promise((resolve) => this.#wanted = resolve);
  }

  #give(): void {
    const wanted = this.#wanted;
    if (wanted === null) return;
    this.#wanted = null;
    this.#next();
    wanted();
  }

  #next(): void {
    const chunk = this.#chunks.shift();
    if (chunk === undefined) {
      if (!this.#cancelled) this.#controller.close();
      return;
    }
    this.#controller.enqueue(chunk);
    this.#owner.count(-chunk.length - OVERHEAD);
  }

  #cancel(): void {
    this.#cancelled = true;
    let bytes = 0;
    for (const chunk of this.#chunks.splice(0)) bytes -= chunk.length + OVERHEAD;
    this.#owner.count(bytes);
    this.#wanted?.();
  }
}

/** Whoever takes messages as streams. What isn't read yet counts against `readAhead`. */
export class MessageStreamIterator
  implements AsyncIterableIterator<IncomingMessageStream, undefined>, ChunkSink, Taker {
  readonly chunks = this;
  /** What the chunks that wait cost. */
  bytes = 0;
  readonly #receiver: Receiver;
  #parts: MessageBody[] = [];
  #current: MessageBody | null = null;
  #takers: (() => void)[] = [];
  #done = false;
  #dropping = false;

  /** @throws {TypeError} Beside `onMessage` or another consumer. */
  constructor(receiver: Receiver) {
    this.#receiver = receiver;
    receiver.claim(this, "iterate over");
  }

  /** Bytes that may come now. */
  get room(): number {
    return this.#dropping || this.#current?.cancelled ? Infinity : this.#receiver.room;
  }

  /** A message begins. */
  start(text: boolean): void {
    if (this.#dropping) return;
    this.#current = new MessageBody(this, text);
    this.#parts.push(this.#current);
    this.#takers.shift()?.();
  }

  /** Bytes of it; theirs to keep. */
  chunk(bytes: Uint8Array): void {
    this.#current?.push(bytes);
  }

  /** It is complete. */
  end(): void {
    this.#receiver.received++;
    this.#current?.end();
    this.#current = null;
  }

  keep(data: ReceivedMessage): boolean {
    this.start(typeof data === "string");
    this.chunk(typeof data === "string" ? encodeUtf8(data) : data);
    this.#current?.end();
    this.#current = null;
    return true;
  }

  wake(): void {
    if (this.#receiver.record !== null) {
      this.#current?.fail(this.#receiver.closedError("read the rest of a message"));
      this.#current = null;
    }
    for (const taker of this.#takers.splice(0)) taker();
  }

  discard(): void {
    this.#dropping = true;
    this.#current?.fail(this.#receiver.closedError("read the rest of a message"));
    this.#current = null;
    this.#parts = [];
  }

  /** Counts what waits; where it sinks, reading may go on. */
  count(bytes: number): void {
    this.bytes += bytes;
    if (bytes <= 0) queueMicrotask(() => this.#receiver.readOn());
  }

  async next(): Promise<IteratorResult<IncomingMessageStream, undefined>> {
    while (this.#parts.length === 0 || this.#receiver.paused) {
      const { record } = this.#receiver;
      if (this.#done || (record !== null && isOrderly(record))) {
        return { value: undefined, done: true };
      }
      if (record !== null) {
        this.#done = true;
        throw this.#receiver.closedError("iterate over the messages");
      }
      await new Promise<void>((resolve) => {
        this.#takers.push(resolve);
        this.#receiver.readOn();
      });
    }
    return { value: this.#parts.shift()!, done: false };
  }

  /** Ends the iteration, and closes the connection with 1000. */
  return(): Promise<IteratorResult<IncomingMessageStream, undefined>> {
    this.#done = true;
    this.#receiver.close(NORMAL, "");
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
