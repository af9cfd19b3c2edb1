import type { MessageHeader } from "../protocol/message_header.ts";
import { Fifo } from "../util/fifo.ts";

// The memory of a message apart from its payload: otherwise empty messages could pile up without limit.
const OVERHEAD = 64;

/**
 * A received message: a string for text, bytes for binary.
 *
 * @see {@linkcode Connection.prototype.receive}
 */
export type ReceivedMessage = string | Uint8Array;

/** A message in the queue: whole, or one whose pieces are kept elsewhere; then `length` is the memory of the rest. */
export type QueuedMessage = ReceivedMessage | { readonly length: number };

/** Received messages that wait to be delivered, in order. */
export class ReceiveQueue {
  /** The memory of the waiting messages, in bytes. */
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

  /** Replaces each message; those for which `replace` returns `null` are dropped. */
  map(replace: (message: QueuedMessage) => QueuedMessage | null): void {
    this.#headers = null;
    this.bytes = 0;
    for (const message of this.#messages.drain()) {
      const replaced = replace(message);
      if (replaced !== null) this.push(replaced);
    }
  }

  /** Drops all messages; returns their number. */
  clear(): number {
    const count = this.length;
    this.#messages.clear();
    this.#headers = null;
    this.bytes = 0;
    return count;
  }
}
