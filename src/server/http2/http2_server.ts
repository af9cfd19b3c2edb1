import type { Transport } from "../../transport/transport.ts";
import { MemberList } from "../../util/member_list.ts";
import type { PeerInfo } from "../peer_info.ts";
import { Http2Connection, type Http2Host } from "./http2_connection.ts";

/** The HTTP/2 connections of a listener. */
export class Http2Server {
  readonly #host: Http2Host;
  readonly #connections = new MemberList<Http2Connection>();
  #closing = false;

  /** @param host Answers the requests, and has their limits. */
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
   * Serves a connection; resolves when it is closed.
   *
   * @param transport The connection. Its preface hasn't been read.
   */
  async serve(transport: Transport, secure: boolean, info: PeerInfo): Promise<void> {
    const connection = new Http2Connection(transport, secure, info, this.#host);
    this.#connections.add(connection);
    if (this.#closing) connection.shutdown();
    await connection.ended;
    this.#connections.delete(connection);
  }

  /** Refuses further streams, and closes each connection when its open streams have ended. */
  close(): void {
    this.#closing = true;
    for (const connection of this.#connections) connection.shutdown();
  }

  /**
   * Ends all connections at once.
   *
   * @returns The number of requests that were in progress.
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
