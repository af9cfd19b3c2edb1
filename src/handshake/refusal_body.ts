import { BadHeadError } from "./bad_head_error.ts";
import { BodyFramer } from "./body_framer.ts";
import type { ResponseHead } from "./response_head.ts";

/** How much of a refusal's body is kept. */
const MAX_REFUSAL_BODY = 4096;

/**
 * Collects the body of a refused handshake: its first 4 KiB, whether its length is announced, it comes in chunks
 * (RFC 9112 7.1), or the end of the stream is its end (6.3). It is an aid for the reader of the error, so a malformed
 * one ends at what is malformed and isn't an error itself.
 */
export class RefusalBody {
  readonly #kept: Uint8Array = new Uint8Array(MAX_REFUSAL_BODY);
  readonly #framer: BodyFramer;
  #length = 0;
  #done: boolean;

  /**
   * Reads from the head how the body is framed.
   *
   * @param head The response's head.
   */
  constructor(head: ResponseHead) {
    this.#framer = new BodyFramer(framingOf(head));
    this.#done = this.#framer.done;
  }

  /** Whether nothing more is to be kept. */
  get done(): boolean {
    return this.#done;
  }

  /** What has been collected so far, a copy. */
  get bytes(): Uint8Array {
    return this.#kept.slice(0, this.#length);
  }

  /**
   * Takes the next bytes after the head.
   *
   * @param bytes What was read; the buffer is the caller's again on return.
   * @returns Whether the body is complete or its first 4 KiB are; until then, more bytes or the end of the stream.
   */
  push(bytes: Uint8Array): boolean {
    try {
      for (let at = 0; !this.#done && at < bytes.length;) {
        const end = this.#framer.take(bytes, at);
        this.#keep(bytes.subarray(this.#framer.dataStart, end));
        at = end;
        if (this.#framer.done) this.#done = true;
      }
    } catch (error) {
      if (!(error instanceof BadHeadError)) throw error;
      this.#done = true;
    }
    return this.#done;
  }

  #keep(data: Uint8Array): void {
    const room = MAX_REFUSAL_BODY - this.#length;
    this.#kept.set(data.length > room ? data.subarray(0, room) : data, this.#length);
    this.#length += Math.min(data.length, room);
    if (this.#length === MAX_REFUSAL_BODY) this.#done = true;
  }
}

function framingOf({ fields, status }: ResponseHead): number | "chunked" {
  if (status === 101 || status === 204 || status === 304) return 0;
  if (fields.get("transfer-encoding")?.toLowerCase().endsWith("chunked")) return "chunked";
  const length = fields.get("content-length");
  return length !== null && /^\d+$/.test(length) ? Number(length) : Infinity;
}
