import { acquire, LARGEST, release, SIZES } from "../../memory/buffer_pool.ts";
import { writeLatin1 } from "../../handshake/latin1.ts";
import type { Framing } from "./answer_head.ts";

// Room for the chunked coding: the digits of a size, two line ends, and the last chunk.
const CODING = 32;
// Data of this length or more is written without a copy.
const DIRECT = 16 * 1024;

/** Writes the bytes of an answer. */
export interface AnswerSink {
  /** Resolves when all bytes are written. */
  write(bytes: Uint8Array): Promise<void>;
}

/** Writes an answer in as few writes as possible, the head together with the first piece of content. */
export class AnswerWriter {
  readonly #sink: AnswerSink;
  /** The rest of the head, which is written with the next piece. */
  #head: string;
  readonly #chunked: boolean;

  constructor(sink: AnswerSink, head: string, framing: Framing) {
    this.#sink = sink;
    this.#head = head;
    this.#chunked = framing === "chunked";
  }

  /**
   * Writes a piece, and the head before it.
   *
   * @param last Whether it is the last one.
   */
  async write(data: Uint8Array, last: boolean): Promise<void> {
    let at = 0;
    do {
      const rest = data.length - at;
      if (!this.#chunked && this.#head === "" && rest >= DIRECT) {
        return await this.#sink.write(data.subarray(at));
      }
      at += await this.#writeSome(data.subarray(at), last);
    } while (at < data.length || this.#head !== "");
  }

  /** Writes as much as fits into one buffer; returns the number of bytes of the data. */
  async #writeSome(data: Uint8Array, last: boolean): Promise<number> {
    const needed = this.#head.length + data.length + CODING;
    const size = needed <= SIZES[1] ? 1 : LARGEST;
    const head = this.#head.substring(0, SIZES[size] - CODING);
    this.#head = this.#head.substring(head.length);
    const count = Math.min(data.length, SIZES[size] - CODING - head.length);
    const buffer = acquire(size), { target } = buffer;
    let used = writeLatin1(head, target, 0);
    if (count > 0) {
      if (this.#chunked) used = writeLatin1(`${count.toString(16)}\r\n`, target, used);
      target.set(data.subarray(0, count), used);
      used += count;
      if (this.#chunked) used = writeLatin1("\r\n", target, used);
    }
    if (this.#chunked && last && count === data.length && this.#head === "") {
      used = writeLatin1("0\r\n\r\n", target, used);
    }
    if (used > 0) await this.#sink.write(target.subarray(0, used));
    // Only after success: the transport may still read from the buffer after a failed write.
    release(buffer);
    return count;
  }
}
