import { BadHeadError } from "./bad_head_error.ts";
import { BodyFramer } from "./body_framer.ts";
import type { ResponseHead } from "./response_head.ts";

/** Bytes of a refusal's body that are kept. */
const MAX_REFUSAL_BODY = 4096;

/**
 * Collects the first 4 KiB of a refused handshake's body. The body may have a length, come in chunks (RFC 9112 7.1), or
 * end with the stream (6.3). It is only a help for the reader of the error, so a malformed body isn't an error: it ends
 * at the malformed part.
 */
export class RefusalBody {
  readonly #kept: Uint8Array = new Uint8Array(MAX_REFUSAL_BODY);
  readonly #framer: BodyFramer;
  #length = 0;
  #done: boolean;

  /**
   * Reads the framing of the body from the head.
   *
   * @param head The response's head.
   */
  constructor(head: ResponseHead) {
    this.#framer = new BodyFramer(framingOf(head));
    this.#done = this.#framer.done;
  }

  /** Whether the body is complete, or all that is kept of it. */
  get done(): boolean {
    return this.#done;
  }

  /** A copy of the collected bytes. */
  get bytes(): Uint8Array {
    return this.#kept.slice(0, this.#length);
  }

  /**
   * Collects the next bytes after the head.
   *
   * @param bytes The received bytes; the caller may reuse the buffer after the call.
   * @returns Whether the body, or its first 4 KiB, are complete.
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
