import type { Connection } from "../connection.ts";
import { Fifo } from "../util/fifo.ts";

/** A message, or what is done after the messages before it have been handed over. */
type Entry = Payload | (() => void);

/** What a message is made of. */
export type Payload = string | ArrayBufferView | Blob;

/**
 * What is sent goes out in the order of the calls, though the bytes of a `Blob` can only be had later: what follows one
 * waits for it.
 */
export class Outbox {
  /** Bytes that wait here, and have not been handed to the connection. */
  bytes = 0;
  readonly #connection: Connection;
  readonly #failed: (error: unknown) => void;
  readonly #entries = new Fifo<Entry>();
  #reading = false;

  /**
   * @param connection Where the messages go.
   * @param failed Called when the bytes of a `Blob` can't be read.
   */
  constructor(connection: Connection, failed: (error: unknown) => void) {
    this.#connection = connection;
    this.#failed = failed;
  }

  /** Sends a message, at once if nothing waits. A snapshot is taken of the bytes of a view. */
  send(data: Payload): void {
    if (!this.#reading && !(data instanceof Blob)) {
      this.#hand(data);
      return;
    }
    this.#entries.push(ArrayBuffer.isView(data) ? copyOf(data) : data);
    this.bytes += sizeOf(data);
    void this.#drain();
  }

  /** Does something once all messages so far have been handed over. */
  afterwards(action: () => void): void {
    if (this.#reading) this.#entries.push(action);
    else action();
  }

  async #drain(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    for (let entry = this.#entries.peek(); entry !== undefined; entry = this.#entries.peek()) {
      if (typeof entry === "function") {
        this.#entries.shift();
        entry();
        continue;
      }
      let data: string | ArrayBufferView;
      try {
        data = entry instanceof Blob ? new Uint8Array(await entry.arrayBuffer()) : entry;
      } catch (error) {
        this.#entries.clear();
        this.#failed(error);
        break;
      }
      this.#entries.shift();
      // What can't be sent any more is never transmitted, and counts for ever (WebSockets standard, bufferedAmount).
      if (this.#hand(data)) this.bytes -= sizeOf(entry);
    }
    this.#reading = false;
  }

  #hand(data: string | ArrayBufferView): boolean {
    if (this.#connection.state !== "open") return false;
    this.#connection.send(data);
    return true;
  }
}

/** Bytes of a message. */
export function sizeOf(payload: Payload): number {
  if (typeof payload === "string") return utf8Length(payload);
  return payload instanceof Blob ? payload.size : payload.byteLength;
}

/** Bytes of a text as UTF-8, without encoding it. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    // A pair of surrogates is two units and four bytes; a lone one becomes U+FFFD, three bytes.
    length += unit < 0x800 ? 1 : 2;
    if (unit >= 0xd800 && unit < 0xdc00) {
      const next = text.charCodeAt(i + 1);
      if (next >= 0xdc00 && next < 0xe000) i++;
    }
  }
  return length;
}

function copyOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
}
