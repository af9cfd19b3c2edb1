import http2, { type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { Http2Link } from "../../transport/http2_link.ts";
import type { Transport } from "../../transport/transport.ts";

/** How long a server has to take the end of a connection, in ms. */
const LINGER = 1000;

/** A connection to a server that speaks HTTP/2; it ends after its last stream. */
export class ClientSession {
  /** The connection below. */
  readonly link: Http2Link;
  readonly #session: ClientHttp2Session;
  /** How many streams the server allows. */
  #most = Infinity;
  #leaving = false;

  /** @param transport The connection; ours from now on. */
  constructor(transport: Transport, authority: string) {
    this.link = new Http2Link(transport, "client");
    const { side } = this.link;
    const session = this.#session = http2.connect(authority, {
      createConnection: () => side,
      settings: { enablePush: false },
    });
    this.link.open(session);
    // What it means for a stream is told by that.
    session.on("error", () => {});
    session.on("goaway", () => void (this.#leaving = true));
    session.on("remoteSettings", ({ maxConcurrentStreams = Infinity }) => {
      this.#most = maxConcurrentStreams;
    });
    session.on("close", () => this.#end());
  }

  /**
   * Waits for the server's settings.
   *
   * @returns Whether it takes WebSockets (RFC 8441 3); if not, the session has ended.
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

  /** Asks for a stream. */
  request(fields: Record<string, string | number | string[]>): ClientHttp2Stream {
    const stream = this.#session.request(fields, { endStream: false });
    stream.on("error", () => {});
    stream.once("close", () => {
      // The transport over it takes itself out of the count first.
      queueMicrotask(() => this.closeUnused());
    });
    return stream;
  }

  /** Ends it, if it carries nothing. */
  closeUnused(): void {
    if (this.link.streams === 0) this.close();
  }

  /** Ends it, after the streams that are open. */
  close(): void {
    this.#leaving = true;
    this.#session.close();
  }

  #end(): void {
    const { side } = this.link;
    if (side.destroyed) return;
    const timer = setTimeout(() => side.destroy(), LINGER);
    side.once("close", () => clearTimeout(timer));
    side.end(() => side.destroy());
  }
}

/**
 * Waits for the head of an answer.
 *
 * @returns Its fields, names and values in turn.
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

/** Whether a server hasn't looked at a stream, so that it may be asked for again (RFC 9113 8.7). */
export function wasRefused({ rstCode }: ClientHttp2Stream): boolean {
  return rstCode === http2.constants.NGHTTP2_REFUSED_STREAM;
}
