import { Fifo } from "../../util/fifo.ts";
import { PUBLICATION_OVERHEAD } from "./envelope.ts";
import { parsePortMessage, type PortMessage } from "./port_message.ts";

/** Gets the messages that arrive at an end of a port. */
export interface PortSink {
  publication(topic: string, flags: number, payload: Uint8Array): void;
  /** The other end has taken this many more publications. */
  taken?(count: number): void;
  message(message: Exclude<PortMessage, { type: "batch" } | { type: "taken" }>): void;
  /** A message arrived that isn't of our own; it was ignored. */
  rubbish(error: TypeError): void;
}

/**
 * One end of a message port. The publications of a turn are posted in one message, and the other end confirms those that it
 * has taken. So an end that is stuck, or doesn't exist any more, costs a limited amount of memory.
 */
export class PortLink {
  readonly #port: MessagePort;
  readonly #sink: PortSink;
  readonly #limit: number;
  #batch: { topic: string; flags: number; payload: Uint8Array }[] = [];
  #batchBytes = 0;
  /** Sizes of the publications that the other end hasn't confirmed. */
  readonly #sizes = new Fifo<number>();
  #bytes = 0;
  #closed = false;

  constructor(port: MessagePort, sink: PortSink, limit: number) {
    this.#port = port;
    this.#sink = sink;
    this.#limit = limit;
    port.onmessage = ({ data }) => this.#received(data);
    port.onmessageerror = () => this.#rubbish(new TypeError("it can't be deserialised"));
  }

  /** Bytes that the other end hasn't confirmed. */
  get pendingBytes(): number {
    return this.#bytes;
  }

  /** Posts a publication at the end of the turn; returns `false` if too much is pending. The payload must not change. */
  publish(topic: string, flags: number, payload: Uint8Array): boolean {
    const size = payload.length + PUBLICATION_OVERHEAD;
    // A single publication may be larger than the limit, or it could never be posted.
    if (this.#closed || (this.#bytes > 0 && this.#bytes + size > this.#limit)) return false;
    this.#bytes += size;
    this.#sizes.push(size);
    this.#batchBytes += payload.length;
    if (this.#batch.push({ topic, flags, payload }) === 1) queueMicrotask(() => this.#flush());
    return true;
  }

  /** Posts any other message, after the publications before it. */
  post(message: PortMessage): void {
    if (this.#closed) return;
    this.#flush();
    this.#port.postMessage(message);
  }

  /** Posts the waiting publications and closes the port. */
  close(): void {
    if (this.#closed) return;
    this.post({ type: "bye" });
    this.#closed = true;
    this.#port.close();
  }

  #flush(): void {
    if (this.#batch.length === 0 || this.#closed) return;
    const bytes = new Uint8Array(this.#batchBytes), entries: [string, number, number][] = [];
    let at = 0;
    for (const { topic, flags, payload } of this.#batch) {
      bytes.set(payload, at);
      at += payload.length;
      entries.push([topic, flags, at]);
    }
    this.#batch = [];
    this.#batchBytes = 0;
    this.#port.postMessage({ type: "batch", entries, bytes }, [bytes.buffer]);
  }

  #received(data: unknown): void {
    if (this.#closed) return;
    let message: PortMessage;
    try {
      message = parsePortMessage(data);
      if (message.type === "taken" && message.count > this.#sizes.length) {
        throw new TypeError(`${message.count} are taken of ${this.#sizes.length}`);
      }
    } catch (error) {
      return this.#rubbish(error);
    }
    if (message.type === "taken") {
      for (let i = 0; i < message.count; i++) this.#bytes -= this.#sizes.shift()!;
      this.#sink.taken?.(message.count);
    } else if (message.type === "batch") {
      let start = 0;
      for (const [topic, flags, end] of message.entries) {
        this.#sink.publication(topic, flags, message.bytes.subarray(start, end));
        start = end;
      }
      // Handling a publication may have closed this end.
      if (!this.#closed) this.#port.postMessage({ type: "taken", count: message.entries.length });
    } else {
      this.#sink.message(message);
    }
  }

  /** Any code may have the port, and an error thrown in its callback would end the thread, so it is reported. */
  #rubbish(cause: unknown): void {
    const why = cause instanceof Error ? cause.message : String(cause);
    this.#sink.rubbish(
      new TypeError(`Cannot read a message at the port of a worker hub: ${why}`, { cause }),
    );
  }
}
