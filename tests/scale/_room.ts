// A server and its clients, on real sockets.

import {
  type Connection,
  type ConnectionOptions,
  Context,
  type Listener,
  type ListenOptions,
} from "../../mod.ts";
import { turn } from "../support/until.ts";

/** A server with clients. */
export class Room implements AsyncDisposable {
  readonly server: Context;
  readonly clients: Context = new Context();
  readonly listener: Listener;
  readonly url: string;
  /** The server's connections, in the order of the clients. */
  readonly members: Connection[] = [];
  #accepted: ((conn: Connection) => void)[] = [];

  constructor(options: ListenOptions = {}, server: Context = new Context()) {
    this.server = server;
    this.listener = server.listen({
      port: 0,
      hostname: "127.0.0.1",
      onMessage: () => {},
      onError: () => {},
      ...options,
      onConnect: (conn) => this.#accepted.shift()?.(conn),
    });
    this.url = this.listener.url;
  }

  /** Connects a client; resolves when both ends are open. */
  async join(options: ConnectionOptions = {}): Promise<Connection> {
    const accepted = new Promise<Connection>((resolve) => this.#accepted.push(resolve));
    const client = this.clients.connect(this.url, { onError: () => {}, ...options });
    await client.opened;
    this.members.push(await accepted);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.clients.shutdown({ timeout: 1000 }), this.server.shutdown()]);
  }
}

/** Receives `count` messages. */
export async function take(conn: Connection, count: number): Promise<(string | Uint8Array)[]> {
  const messages = [];
  while (messages.length < count) messages.push(await conn.receive());
  return messages;
}

/** Sends to a peer that doesn't read, until the kernel accepts no more and `bytes` are queued. */
export async function clog(conn: Connection, bytes: number): Promise<void> {
  const chunk = new Uint8Array(256 * 1024);
  // The kernel accepts what it can at once, so a queue that doesn't change in a turn of the event loop has stalled.
  for (let before = -1; conn.queuedBytes < bytes || conn.queuedBytes !== before;) {
    before = conn.queuedBytes;
    if (before < bytes) conn.send(chunk);
    for (let turns = 0; turns < 5; turns++) await turn();
  }
}
