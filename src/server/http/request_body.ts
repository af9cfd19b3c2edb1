import type { BodyFramer } from "../../handshake/body_framer.ts";
import type { HttpInput } from "./http_input.ts";

/** The most bytes of an unwanted body that are read so that the connection can be used further. */
const MAX_DISCARDED = 256 * 1024;

/** What a body needs from the connection that it comes through. */
export interface BodyHost {
  readonly input: HttpInput;
  /** Called when the body is first read: the client may wait for a 100. */
  bodyWanted(): Promise<void> | null;
  /** Waits for unread bytes, within the idle timeout; resolves with `false` at the end. */
  moreBody(): Promise<boolean>;
  /** The body's framing is broken: the rest of the connection can't be read. */
  bodyBroken(error: unknown): void;
}

/** The body of a request as a stream, which reads from the connection only on demand. */
export class RequestBody {
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly #framer: BodyFramer;
  readonly #host: BodyHost;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #wanted = false;
  #over = false;

  constructor(framer: BodyFramer, host: BodyHost) {
    this.#framer = framer;
    this.#host = host;
    this.stream = new ReadableStream({
      start: (controller) => void (this.#controller = controller),
      pull: () => this.#pull(),
      cancel: () => void (this.#over = true),
    }, { highWaterMark: 0 });
  }

  /** Whether the whole body has been read. */
  get done(): boolean {
    return this.#framer.done;
  }

  /** Whether the handler has read from the body. */
  get wanted(): boolean {
    return this.#wanted;
  }

  /** Ends the stream with an error, if it hasn't ended. */
  end(reason: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#controller.error(reason);
  }

  /**
   * Reads and drops the rest, after `end`.
   *
   * @returns Whether the body has been read to its end.
   */
  async discard(): Promise<boolean> {
    const { input } = this.#host, framer = this.#framer;
    for (let left = MAX_DISCARDED; !framer.done;) {
      if (input.available === 0 && !await this.#host.moreBody()) return false;
      const end = framer.take(input.bytes, 0);
      input.skip(end);
      left -= end;
      if (left < 0) return false;
    }
    return true;
  }

  async #pull(): Promise<void> {
    const { input } = this.#host, framer = this.#framer;
    try {
      if (!this.#wanted) {
        this.#wanted = true;
        await this.#host.bodyWanted();
      }
      while (!this.#over) {
        if (framer.done) return this.#close();
        if (input.available === 0) {
          if (await this.#host.moreBody()) continue;
          throw new Deno.errors.UnexpectedEof(
            "The client disconnected in the middle of the request's body",
          );
        }
        const { bytes } = input;
        const end = framer.take(bytes, 0);
        const data = bytes.slice(framer.dataStart, end);
        input.skip(end);
        if (data.length === 0) continue;
        this.#controller.enqueue(data);
        if (framer.done) this.#close();
        return;
      }
    } catch (error) {
      this.end(error);
      this.#host.bodyBroken(error);
    }
  }

  #close(): void {
    this.#over = true;
    this.#controller.close();
  }
}
