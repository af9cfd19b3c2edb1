import type { Transport } from "../../transport/transport.ts";
import { MemberList } from "../../util/member_list.ts";
import type { PeerInfo } from "../peer_info.ts";
import { Http2Connection, type Http2Host } from "./http2_connection.ts";

/** HTTP/2 on the port of a listener. */
export class Http2Server {
  readonly #host: Http2Host;
  readonly #connections = new MemberList<Http2Connection>();
  #closing = false;

  /** @param host Answers requests, and has their limits. */
  constructor(host: Http2Host) {
    this.#host = host;
  }

  /** The number of connections. */
  get size(): number {
    return this.#connections.size;
  }

  /** The number of connections that carry no WebSocket. */
  get withoutSocket(): number {
    let count = 0;
    for (const { sockets } of this.#connections) if (sockets === 0) count++;
    return count;
  }

  /**
   * Serves a connection to its end.
   *
   * @param transport The connection, with the preface still to be read.
   */
  async serve(transport: Transport, secure: boolean, info: PeerInfo): Promise<void> {
    const connection = new Http2Connection(transport, secure, info, this.#host);
    this.#connections.add(connection);
    if (this.#closing) connection.shutdown();
    await connection.ended;
    this.#connections.delete(connection);
  }

  /** Lets the streams that are open come to their end, and takes no further ones. */
  close(): void {
    this.#closing = true;
    for (const connection of this.#connections) connection.shutdown();
  }

  /**
   * Ends all connections at once.
   *
   * @returns How many requests were under way.
   */
  terminate(): number {
    let cut = 0;
    for (const connection of this.#connections) {
      cut += connection.requests;
      connection.close();
    }
    return cut;
  }
}
