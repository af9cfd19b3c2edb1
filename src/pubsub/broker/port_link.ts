import { Fifo } from "../../util/fifo.ts";
import { PUBLICATION_OVERHEAD } from "./envelope.ts";
import { parsePortMessage, type PortMessage } from "./port_message.ts";

/** What an end of a port does with what arrives. */
export interface PortSink {
  publication(topic: string, flags: number, payload: Uint8Array): void;
  /** The other end has taken this many more publications. */
  taken?(count: number): void;
  message(message: Exclude<PortMessage, { type: "batch" } | { type: "taken" }>): void;
  /** Something arrived that no other end would send; it was ignored. */
  rubbish(error: TypeError): void;
}

/**
 * One end of a message port: publications of a turn travel in one message, and the other end reports what it has taken,
 * so that one that is stuck, or gone, costs a bounded amount of memory.
 */
export class PortLink {
  readonly #port: MessagePort;
  readonly #sink: PortSink;
  readonly #limit: number;
  #batch: { topic: string; flags: number; payload: Uint8Array }[] = [];
  #batchBytes = 0;
  /** Sizes of what the other end hasn't taken. */
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

  /** Bytes that the other end hasn't taken. */
  get pendingBytes(): number {
    return this.#bytes;
  }

  /** Sends a publication at the end of the turn; `false` if too much is pending. The payload must not change. */
  publish(topic: string, flags: number, payload: Uint8Array): boolean {
    const size = payload.length + PUBLICATION_OVERHEAD;
    // One goes at any size, or a large one could never go.
    if (this.#closed || (this.#bytes > 0 && this.#bytes + size > this.#limit)) return false;
    this.#bytes += size;
    this.#sizes.push(size);
    this.#batchBytes += payload.length;
    if (this.#batch.push({ topic, flags, payload }) === 1) queueMicrotask(() => this.#flush());
    return true;
  }

  /** Sends anything else, after the publications before it. */
  post(message: PortMessage): void {
    if (this.#closed) return;
    this.#flush();
    this.#port.postMessage(message);
  }

  /** Sends what waits and lets go of the port. */
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
      // A publication may have ended us.
      if (!this.#closed) this.#port.postMessage({ type: "taken", count: message.entries.length });
    } else {
      this.#sink.message(message);
    }
  }

  /** The port may have been given to anybody, and what is thrown in its callback would end the thread. */
  #rubbish(cause: unknown): void {
    const why = cause instanceof Error ? cause.message : String(cause);
    this.#sink.rubbish(
      new TypeError(`Cannot read a message at the port of a worker hub: ${why}`, { cause }),
    );
  }
}
