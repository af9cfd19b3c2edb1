import { HeadParser } from "../../handshake/head_parser.ts";
import { parseResponseHead } from "../../handshake/response_head.ts";
import { BodyFramer } from "../../handshake/body_framer.ts";

/** Heads of our own handler's answers: its cookies are its own affair. */
const MAX_HEAD = 1024 * 1024;

/** Counts the answers in a stream of them, each to one of the requests that were sent. */
export class ResponseFramer {
  /** Methods of the requests that are not answered yet, oldest first. */
  readonly waiting: string[] = [];
  readonly #parser = new HeadParser(MAX_HEAD);
  #body: BodyFramer | null = null;

  /** Whether an answer has begun and isn't complete. */
  get midway(): boolean {
    return this.#body !== null || this.#parser.pendingBytes > 0;
  }

  /**
   * Takes the next bytes of the stream.
   *
   * @param bytes What was read.
   * @returns How many answers are complete with it.
   */
  push(bytes: Uint8Array): number {
    let complete = 0;
    for (let at = 0; at < bytes.length;) {
      if (this.#body === null) {
        const used = this.#parser.push(bytes.subarray(at));
        if (used === -1) break;
        at += used;
        const { status, fields } = parseResponseHead(this.#parser.text);
        // 100 and 103 announce the answer, and aren't it.
        if (status < 200) continue;
        const bodiless = status === 204 || status === 304 || this.waiting[complete] === "HEAD";
        const length = fields.get("content-length");
        const chunked = fields.get("transfer-encoding") !== null;
        this.#body = new BodyFramer(
          bodiless ? 0 : chunked ? "chunked" : length === null ? Infinity : Number(length),
        );
      } else {
        at = this.#body.take(bytes, at);
      }
      if (this.#body.done) {
        this.#body = null;
        complete++;
      }
    }
    return complete;
  }
}
