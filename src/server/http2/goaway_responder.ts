import { writeAll } from "../../transport/stream_io.ts";
import type { Transport } from "../../transport/transport.ts";
import type { Responder } from "../responder.ts";

/**
 * An empty SETTINGS frame, which every server begins with (RFC 9113 3.4), and a GOAWAY for no stream (6.8) with
 * ENHANCE_YOUR_CALM.
 */
// deno-fmt-ignore
const GOAWAY = Uint8Array.of(
  0, 0, 0, 4, 0, 0, 0, 0, 0,
  0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11,
);

/** Refuses a connection that speaks HTTP/2 and has no stream yet. */
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
