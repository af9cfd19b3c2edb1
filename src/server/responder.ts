import type { Refusal } from "../handshake/refusal.ts";
import { type Acceptance, formatAccept } from "../handshake/server_response.ts";
import { writeAll } from "../transport/stream_io.ts";
import type { Transport } from "../transport/transport.ts";

/** Writes the answer to a handshake, in its version of HTTP. */
export interface Responder {
  /** The version. */
  readonly httpVersion: "1.1" | "2";
  /** Accepts the handshake. Frames follow in both directions. */
  accept(acceptance: Acceptance): Promise<void>;
  /**
   * Refuses the handshake, and ends our direction.
   *
   * @param omitBody Whether the request was a HEAD.
   */
  refuse(refusal: Refusal, omitBody: boolean): Promise<void>;
}

/** Answers over HTTP/1.1. */
export class Http1Responder implements Responder {
  readonly httpVersion = "1.1";
  readonly #stream: Pick<Transport, "write" | "closeWrite">;

  constructor(stream: Pick<Transport, "write" | "closeWrite">) {
    this.#stream = stream;
  }

  accept(acceptance: Acceptance): Promise<void> {
    return writeAll(this.#stream, formatAccept(acceptance));
  }

  async refuse(refusal: Refusal, omitBody: boolean): Promise<void> {
    await writeAll(this.#stream, refusal.format(omitBody));
    await this.#stream.closeWrite();
  }
}
