import type { MessageHeader } from "../protocol/message_header.ts";
// What a message costs besides its payload: without it, empty messages would be free to pile up.
const OVERHEAD = 64;
// Taken slots that are worth a copy of what is left.
const COMPACT = 1024;

/** A received message: a string for text, bytes for binary. */
export type ReceivedMessage = string | Uint8Array;

/** Messages that have arrived and wait to be delivered, in order. */
export class ReceiveQueue {
  /** What the waiting messages cost. */
  bytes = 0;
  /** The header of the message that was taken last, where there is one. */
  header: MessageHeader | undefined = undefined;
  #headers: (MessageHeader | undefined)[] | null = null;
  #items: (string | Uint8Array)[] = [];
  #head = 0;

  /** Number of waiting messages. */
  get length(): number {
    return this.#items.length - this.#head;
  }

  /** Adds a message. */
  push(data: string | Uint8Array, header?: MessageHeader): void {
    if (header !== undefined) (this.#headers ??= [])[this.#items.length] = header;
    this.#items.push(data);
    this.bytes += data.length + OVERHEAD;
  }

  /** Takes the oldest message; there must be one. */
  shift(): string | Uint8Array {
    const data = this.#items[this.#head];
    if (this.#headers !== null) this.header = this.#headers[this.#head];
    this.#items[this.#head++] = "";
    this.bytes -= data.length + OVERHEAD;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#headers = null;
      this.#head = 0;
    } else if (this.#head >= COMPACT && this.#head * 2 >= this.#items.length) {
      // One that never runs empty must not grow by what it has handed out.
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return data;
  }

  /** Drops all messages; returns how many. */
  clear(): number {
    const count = this.length;
    this.#items = [];
    this.#headers = null;
    this.#head = 0;
    this.bytes = 0;
    return count;
  }
}
