import {
  type CloseRecord,
  type Connection,
  Context,
  type HandshakeError,
  type ListenOptions,
} from "../../mod.ts";
import { EventLog } from "../support/event_log.ts";

/** A listener over HTTP/2 that echoes messages, and the events of its connections. */
export interface Served extends AsyncDisposable {
  readonly ctx: Context;
  readonly port: number;
  readonly opened: EventLog<Connection>;
  readonly closed: EventLog<CloseRecord>;
  readonly refused: EventLog<HandshakeError>;
}

/** Starts such a listener. */
export function serve(options: ListenOptions = {}): Served {
  const ctx = new Context();
  const opened = new EventLog<Connection>();
  const closed = new EventLog<CloseRecord>();
  const refused = new EventLog<HandshakeError>();
  const { port } = ctx.listen({
    hostname: "127.0.0.1",
    http2: true,
    onConnect: (conn) => opened.push(conn),
    onMessage: (conn, data) => void conn.send(data),
    onClose: (_, record) => closed.push(record),
    onError: () => {},
    onHandshakeError: (error) => refused.push(error as HandshakeError),
    ...options,
  });
  return {
    ctx,
    port,
    opened,
    closed,
    refused,
    async [Symbol.asyncDispose]() {
      await ctx.shutdown({ timeout: 0 });
    },
  };
}
