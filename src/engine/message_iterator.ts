import { abortError } from "../errors.ts";
import type { QueuedMessage, ReceivedMessage } from "../flow/receive_queue.ts";
import { NORMAL } from "../protocol/close_code.ts";
import { isOrderly } from "../protocol/close_record.ts";
import type { ChunkSink } from "../protocol/message_assembler.ts";
import { checkSignal, flag } from "../util/check.ts";
import { Fifo } from "../util/fifo.ts";
import type { MessageConsumer } from "./message_consumer.ts";
import type { Receiver } from "./receiver.ts";

/**
 * Options of an iteration over messages.
 *
 * @example Two loops, one connection
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
 * for (const text of ["header", "one", "two"]) conn.send(text);
 * for await (const header of conn.messages({ preventClose: true })) {
 *   console.log(header);
 *   break;
 * }
 * let left = 2;
 * for await (const message of conn) {
 *   console.log(message);
 *   if (--left === 0) break; // closes with 1000
 * }
 * ```
 */
export interface MessageIteratorOptions {
  /**
   * Whether leaving the loop leaves the connection open.
   *
   * @default {false}
   */
  preventClose?: boolean;
  /**
   * Ends the iteration with an `AbortError` when aborted. The connection stays open, and its messages are free for another
   * consumer.
   */
  signal?: AbortSignal;
}

interface Waiter<T> {
  resolve(message: T): void;
  reject(error: unknown): void;
}

/**
 * Takes messages one by one. A connection has at most one consumer, and none if it has `onMessage`: two would each get
 * some of the messages. While the iterator awaits no message, the connection is held.
 */
export class MessageIterator<T = ReceivedMessage>
  implements AsyncIterableIterator<T, undefined>, MessageConsumer {
  protected readonly receiver: Receiver;
  readonly #preventClose: boolean;
  readonly #signal: AbortSignal | undefined;
  #waiters: Fifo<Waiter<T>> | null = null;
  #released = false;
  #done = false;
  #aborted: unknown = null; // the error of an abort, until it is thrown

  constructor(receiver: Receiver, { preventClose, signal }: MessageIteratorOptions = {}) {
    checkSignal("take messages", signal);
    this.receiver = receiver;
    this.#preventClose = flag("take messages", "preventClose", preventClose, false);
    this.#signal = signal;
  }

  /**
   * Claims the messages of the connection. To be called before any other method.
   *
   * @param action The attempted action for error messages, such as `iterate over`.
   * @throws {TypeError} If there is an `onMessage` or another consumer.
   */
  claim(action: string): this {
    this.receiver.claim(this, action);
    if (this.#signal?.aborted) this.#abort();
    else this.#signal?.addEventListener("abort", this.#abort);
    return this;
  }

  get chunks(): ChunkSink | null {
    return null;
  }

  get bytes(): number {
    return 0;
  }

  get awaits(): boolean {
    return this.#waiting > 0;
  }

  /** The number of calls that wait for a message. */
  get #waiting(): number {
    return this.#waiters === null ? 0 : this.#waiters.length;
  }

  wrap(message: ReceivedMessage): QueuedMessage {
    return message;
  }

  restore(message: QueuedMessage): ReceivedMessage | null {
    return message as ReceivedMessage;
  }

  discard(): void {}

  /** Turns a queued message into what the consumer gets. */
  protected unwrap(message: QueuedMessage): T {
    return message as T;
  }

  wake(): void {
    const { receiver } = this, waiters = this.#waiters;
    if (waiters === null) return;
    while (waiters.length > 0 && receiver.canTake) {
      waiters.shift()!.resolve(this.unwrap(receiver.take()));
    }
    if (waiters.length > 0 && receiver.exhausted) this.#endWaiting();
  }

  /** The next message; the end after an orderly close, an error after any other. */
  next(): Promise<IteratorResult<T, undefined>> {
    return this.take().then(
      (value) => ({ value, done: false as const }),
      (error) => {
        // A failure is thrown once: other calls that wait see the end.
        if (this.#done) return { value: undefined, done: true as const };
        this.#done = true;
        const { record } = this.receiver;
        const aborted = error === this.#aborted;
        this.#aborted = null;
        this.release();
        if (!aborted && record !== null && isOrderly(record)) {
          return { value: undefined, done: true as const };
        }
        throw error;
      },
    );
  }

  /** Ends the iteration, and the connection with it unless `preventClose` was given. Does nothing after its end. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.#done = true;
    if (!this.#released) {
      this.release();
      if (!this.#preventClose) this.receiver.close(NORMAL, "");
    }
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next message; rejects at the end. */
  take(): Promise<T> {
    const { receiver } = this;
    if (this.#aborted !== null) return Promise.reject(this.#aborted);
    if (this.#released || (receiver.exhausted && this.#waiting === 0)) {
      return Promise.reject(receiver.closedError("receive"));
    }
    if (receiver.canTake && this.#waiting === 0) {
      const message = this.unwrap(receiver.take());
      // There may be room again to read.
      receiver.reschedule();
      return Promise.resolve(message);
    }
    return new Promise((resolve, reject) => {
      (this.#waiters ??= new Fifo()).push({ resolve, reject });
      receiver.reschedule();
    });
  }

  /** Leaves the messages to other consumers. Calls that wait for a message see the end. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.receiver.unclaim(this);
    this.#signal?.removeEventListener("abort", this.#abort);
    if (this.#waiting > 0) this.#endWaiting();
  }

  readonly #abort = (): void => {
    this.#aborted = abortError("The wait for a message was aborted", this.#signal!.reason);
    this.release();
  };

  /** Rejects the calls that wait: no message will come for them. */
  #endWaiting(): void {
    const error = this.#aborted ?? this.receiver.closedError("receive");
    for (const waiter of this.#waiters!.drain()) waiter.reject(error);
  }
}

/**
 * Takes one message.
 *
 * @param receiver The receiver of the connection.
 * @param signal Gives up when aborted.
 * @returns The message. Rejects if the connection has closed, or with a `TypeError` if there is another consumer.
 */
export async function receiveMessage(
  receiver: Receiver,
  signal: AbortSignal | undefined,
): Promise<ReceivedMessage> {
  const iterator = new MessageIterator(receiver, { signal }).claim("receive from");
  try {
    return await iterator.take();
  } finally {
    iterator.release();
  }
}
