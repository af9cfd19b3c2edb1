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

  /** @param host Answers requests, and has their limits. */
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
   * @param head The head of the first request, `text` its text, and `early` what came after it.
   * @returns A request to upgrade that came later, and with it the connection; `null` at its end.
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
      // Its first request is under way, and is answered.
      if (this.#closing) connection.shutdown();
      return await end;
    } finally {
      this.#connections.delete(connection);
    }
  }

  /** Lets the requests under way be answered, and takes no further ones. */
  close(): void {
    this.#closing = true;
    for (const connection of this.#connections) connection.shutdown();
  }

  /**
   * Ends all connections at once.
   *
   * @returns How many of them had a request under way.
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
