import type { BodyFramer } from "../../handshake/body_framer.ts";
import type { HttpInput } from "./http_input.ts";

/** How much of an unwanted body is read, so that the connection can be used further. */
const MAX_DISCARDED = 256 * 1024;

/** What a body needs from the connection that it comes through. */
export interface BodyHost {
  readonly input: HttpInput;
  /** Called before the body is first asked for: the client may wait for that. */
  bodyWanted(): Promise<void> | null;
  /** Waits for unread bytes, as long as the client may be silent; `false` at the end. */
  moreBody(): Promise<boolean>;
  /** The body's framing is broken: nothing that follows on the connection can be read. */
  bodyBroken(error: unknown): void;
}

/** The body of a request as a stream, which reads from the connection only when it is asked to. */
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

  /** Whether all of it has been read. */
  get done(): boolean {
    return this.#framer.done;
  }

  /** Whether it has been asked for. */
  get wanted(): boolean {
    return this.#wanted;
  }

  /** Ends the stream, if it hasn't ended by itself. */
  end(reason: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#controller.error(reason);
  }

  /**
   * Reads the rest and drops it, after `end`.
   *
   * @returns Whether it has been read to its end.
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
            "The client left in the middle of the request's body",
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
