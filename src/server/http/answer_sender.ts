import { NOTHING } from "../../util/bytes.ts";
import { EmptyPieces } from "../../util/foreign.ts";
import type { AnswerHead, Framing } from "./answer_head.ts";
import type { Piece, ResponseBody } from "./response_body.ts";

/** Writes the content of an answer, and the head with or before the first piece. */
export interface ContentWriter {
  /** @param last Whether it is the last piece. */
  write(data: Uint8Array, last: boolean): Promise<void>;
}

/** What sending an answer needs from its exchange. */
export interface AnswerHost {
  /** The whole answer is available. */
  whole(): void;
  /** Called before the first byte of the answer is written. */
  begin(): Promise<void>;
  /** Throws if the client has left. */
  check(): void;
  /** Makes the writer of the answer, for its version of HTTP. */
  writer(framing: Framing, length: number | null): ContentWriter;
}

/**
 * Sends an answer. It finds out whether the content is available at once, keeps it to the announced length, and reads the
 * body only as fast as the client takes it.
 */
export class AnswerSender {
  readonly #host: AnswerHost;
  readonly #head: AnswerHead;
  readonly #body: ResponseBody | null;

  constructor(host: AnswerHost, head: AnswerHead, body: ResponseBody | null) {
    this.#host = host;
    this.#head = head;
    this.#body = body;
  }

  /** Sends the whole answer. */
  send(): Promise<void> {
    const body = this.#body;
    return this.#head.hasContent && body !== null ? this.#sendContent(body) : this.#sendHead();
  }

  async #sendHead(): Promise<void> {
    const head = this.#head;
    const length = head.isForHead ? head.length ?? await this.#foresee() : 0;
    this.#body?.cancel("Not needed");
    this.#host.whole();
    await this.#host.begin();
    await this.#host.writer("none", length).write(NOTHING, true);
  }

  /** Returns the length of the content if all of it is available at once, else `null`. */
  async #foresee(): Promise<number | null> {
    const body = this.#body;
    if (body === null) return 0;
    const piece = await body.peek();
    if (piece === undefined) return null;
    if (piece.done) return 0;
    await body.read();
    return (await body.peek())?.done ? piece.value.length : null;
  }

  async #sendContent(body: ResponseBody): Promise<void> {
    const host = this.#host, head = this.#head;
    let piece: Piece | undefined = await body.peek();
    let length = head.length, ends = false, waits = piece === undefined;
    if (piece !== undefined) {
      piece = await body.read();
      ends = !piece.done && (await body.peek())?.done === true;
      const whole = piece.done || ends;
      if (whole) host.whole();
      // The actual length counts, not an announced one: the client would read the next answer as the rest.
      if (whole) length = piece.done ? 0 : piece.value!.length;
      else waits = piece.value?.length === 0;
    }
    host.check();
    const framing: Framing = length === null ? head.openEnded : "length";
    await host.begin();
    const writer = host.writer(framing, length);
    const empty = new EmptyPieces();
    let left = length ?? Infinity;
    // If the content isn't available yet, the head is sent before it.
    if (waits) await writer.write(NOTHING, false);
    for (;;) {
      piece ??= await body.read();
      host.check();
      if (piece.done) break;
      const { value } = piece;
      if (value.length > left) {
        await writer.write(value.subarray(0, left), true);
        throw new RangeError(`Cannot answer with more than the Content-Length of ${length}`);
      }
      left -= value.length;
      if (value.length > 0 || ends) await writer.write(value, ends);
      if (ends) break;
      const rest = empty.note(value.length);
      if (rest !== null) await rest;
      piece = undefined;
    }
    if (left > 0 && left < Infinity) {
      throw new RangeError(`Cannot answer with less than the Content-Length of ${length}`);
    }
    if (!ends) await writer.write(NOTHING, true);
  }
}
