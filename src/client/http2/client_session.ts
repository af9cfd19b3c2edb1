import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { Http2Link } from "../../transport/http2_link.ts";
import { REFUSED_STREAM } from "../../transport/http2_stream.ts";
import { nodeHttp2 } from "../../transport/node_http2.ts";
import type { Transport } from "../../transport/transport.ts";

/** An HTTP/2 connection to a server. The connection is closed after its last stream. */
export class ClientSession {
  /** The connection below. */
  readonly link: Http2Link;
  readonly #session: ClientHttp2Session;
  readonly #streams = new Set<ClientHttp2Stream>();
  /** The number of streams that the server allows. */
  #most = Infinity;
  #leaving = false;

  /** @param transport The connection, owned by this object from now on. */
  constructor(transport: Transport, authority: string) {
    this.link = new Http2Link(transport, "client", (lastStream) => this.#dismissed(lastStream));
    const { side } = this.link;
    const session = this.#session = nodeHttp2().connect(authority, {
      createConnection: () => side,
      settings: { enablePush: false },
    });
    this.link.open(session);
    // Each stream reports the error.
    session.on("error", () => {});
    // A server may push before it has received the settings (RFC 9113 8.4).
    session.on("stream", (promised: ClientHttp2Stream) => {
      promised.on("error", () => {});
      promised.close(REFUSED_STREAM);
    });
    session.on("remoteSettings", ({ maxConcurrentStreams = Infinity }) => {
      this.#most = maxConcurrentStreams;
    });
  }

  /**
   * Waits for the server's settings.
   *
   * @returns Whether it accepts WebSockets (RFC 8441 3); if not, the session has ended.
   */
  async ready(): Promise<boolean> {
    const session = this.#session;
    const settings = new Promise<boolean>((resolve) => {
      session.once("remoteSettings", (settings) => {
        resolve(settings.enableConnectProtocol === true);
      });
    });
    const ended = this.link.ended.then(() => {
      throw new Deno.errors.ConnectionReset("The HTTP/2 connection has ended before its settings");
    });
    const accepts = await Promise.race([settings, ended]);
    if (!accepts) this.close();
    return accepts;
  }

  /** Whether another stream may be opened. */
  get hasRoom(): boolean {
    const { closed, destroyed } = this.#session;
    return !this.#leaving && !closed && !destroyed && this.link.streams < this.#most;
  }

  /** Opens a stream. */
  request(fields: Record<string, string | number | string[]>): ClientHttp2Stream {
    const stream = this.#session.request(fields, { endStream: false });
    stream.on("error", () => {});
    this.#streams.add(stream);
    stream.once("close", () => {
      this.#streams.delete(stream);
      // The stream's transport listens for "close", too, and subtracts itself from `link.streams` first.
      queueMicrotask(() => this.closeUnused());
    });
    return stream;
  }

  /** Closes the session if no stream is open. */
  closeUnused(): void {
    if (this.link.streams === 0) this.close();
  }

  /** Closes the session after its open streams. */
  close(): void {
    this.#leaving = true;
    this.#session.close();
  }

  /** The server accepts no further streams, and hasn't processed those above `lastStream` (RFC 9113 6.8). */
  #dismissed(lastStream: number): void {
    this.#leaving = true;
    for (const stream of this.#streams) {
      if ((stream.id ?? Infinity) > lastStream) stream.close(REFUSED_STREAM);
    }
    // Not during a read of the session.
    queueMicrotask(() => this.closeUnused());
  }
}

/**
 * Waits for the head of a response.
 *
 * @returns Its fields: names and values alternate.
 * @throws {Deno.errors.ConnectionReset} If the stream is reset, or the connection ends.
 */
export function answerOf(stream: ClientHttp2Stream): Promise<string[]> {
  return new Promise((resolve, reject) => {
    stream.once("response", (_headers: unknown, _flags: unknown, fields: string[]) => {
      resolve(fields);
    });
    stream.once("close", () => {
      const { rstCode } = stream;
      reject(new Deno.errors.ConnectionReset(`The stream was reset with code ${rstCode}`));
    });
  });
}

/** Whether the server hasn't processed a stream, so that the request may be sent again (RFC 9113 8.7). */
export function wasRefused({ rstCode }: ClientHttp2Stream): boolean {
  return rstCode === REFUSED_STREAM;
}
