import type { MessageHeader } from "../protocol/message_header.ts";
import { Fifo } from "../util/fifo.ts";

// What a message costs beside its payload: without it, empty messages would be free to pile up.
const OVERHEAD = 64;

/**
 * A received message: a string for text, bytes for binary.
 *
 * @see {@linkcode Connection.prototype.receive}
 */
export type ReceivedMessage = string | Uint8Array;

/** A message as it waits: whole, or one whose pieces are kept elsewhere, and `length` says what it costs itself. */
export type QueuedMessage = ReceivedMessage | { readonly length: number };

/** Messages that have arrived and wait to be delivered, in order. */
export class ReceiveQueue {
  /** What the waiting messages cost. */
  bytes = 0;
  /** The header of the message that was taken last, if there was one. */
  header: MessageHeader | undefined = undefined;
  #messages = new Fifo<QueuedMessage>();
  #headers: Fifo<MessageHeader | undefined> | null = null;

  /** Number of waiting messages. */
  get length(): number {
    return this.#messages.length;
  }

  /** Adds a message. */
  push(message: QueuedMessage, header?: MessageHeader): void {
    if (header !== undefined) this.#headers ??= new Fifo();
    this.#headers?.push(header);
    this.#messages.push(message);
    this.bytes += message.length + OVERHEAD;
  }

  /** Takes the oldest message; there must be one. */
  shift(): QueuedMessage {
    const message = this.#messages.shift()!;
    if (this.#headers !== null) this.header = this.#headers.shift();
    this.bytes -= message.length + OVERHEAD;
    return message;
  }

  /** Puts another message in the place of each, or `null` for none. */
  map(replace: (message: QueuedMessage) => QueuedMessage | null): void {
    this.#headers = null;
    this.bytes = 0;
    for (const message of this.#messages.drain()) {
      const replaced = replace(message);
      if (replaced !== null) this.push(replaced);
    }
  }

  /** Drops all messages; returns how many. */
  clear(): number {
    const count = this.length;
    this.#messages.clear();
    this.#headers = null;
    this.bytes = 0;
    return count;
  }
}
