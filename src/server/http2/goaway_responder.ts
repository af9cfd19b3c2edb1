import { writeAll } from "../../transport/stream_io.ts";
import type { Transport } from "../../transport/transport.ts";
import type { Responder } from "../responder.ts";

/**
 * An empty SETTINGS frame, the server's connection preface (RFC 9113 3.4), and a GOAWAY frame (6.8) with the error code
 * ENHANCE_YOUR_CALM and no last stream.
 */
// deno-fmt-ignore
const GOAWAY = Uint8Array.of(
  0, 0, 0, 4, 0, 0, 0, 0, 0,
  0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11,
);

/** Refuses an HTTP/2 connection that has no stream yet. */
export class GoawayResponder implements Responder {
  readonly httpVersion = "1.1";
  readonly #stream: Pick<Transport, "write" | "closeWrite">;

  constructor(stream: Pick<Transport, "write" | "closeWrite">) {
    this.#stream = stream;
  }

  accept(): Promise<void> {
    return Promise.reject(new Error("Cannot accept a connection as a WebSocket: it speaks HTTP/2"));
  }

  async refuse(): Promise<void> {
    await writeAll(this.#stream, GOAWAY);
    await this.#stream.closeWrite();
  }
}
