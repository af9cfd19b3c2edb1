import type { RequestHead } from "../../handshake/request_head.ts";
import type { Transport } from "../../transport/transport.ts";
import { MemberList } from "../../util/member_list.ts";
import type { PeerInfo } from "../peer_info.ts";
import type { LateUpgrade } from "../late_upgrade.ts";
import { HttpConnection, type HttpHost } from "./http_connection.ts";

/** Ordinary HTTP/1.1 on the port of a listener. */
export class HttpServer {
  readonly #host: HttpHost;
  readonly #connections = new MemberList<HttpConnection>();
  #closing = false;

  /** @param host The listener, with the handler and the limits. */
  constructor(host: HttpHost) {
    this.#host = host;
  }

  /** The number of connections. */
  get size(): number {
    return this.#connections.size;
  }

  /**
   * Serves a connection.
   *
   * @param head The head of the first request.
   * @param text The text of that head.
   * @param early The bytes after it.
   * @returns A request for a WebSocket, together with the connection; `null` if the connection has ended.
   */
  async serve(
    transport: Transport,
    secure: boolean,
    info: PeerInfo,
    head: RequestHead,
    text: string,
    early: Uint8Array,
  ): Promise<LateUpgrade | null> {
    const connection = new HttpConnection(transport, secure, info, early, this.#host);
    this.#connections.add(connection);
    try {
      const end = connection.run(head, text);
      // Its first request is still answered.
      if (this.#closing) connection.shutdown();
      return await end;
    } finally {
      this.#connections.delete(connection);
    }
  }

  /** Serves no further requests; the current ones are answered. */
  close(): void {
    this.#closing = true;
    for (const connection of this.#connections) connection.shutdown();
  }

  /**
   * Ends all connections at once.
   *
   * @returns The number of connections that had a request in progress.
   */
  terminate(): number {
    let cut = 0;
    for (const connection of this.#connections) {
      if (connection.busy) cut++;
      connection.close();
    }
    return cut;
  }
}
