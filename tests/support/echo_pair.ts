import { type CloseRecord, type Connection, type ConnectionOptions, Context } from "../../mod.ts";
import { rawListener, RawPeer, urlOf } from "./raw_peer.ts";

/** Ours on one end, echoing, and a peer that speaks bytes on the other. */
export interface EchoPair extends AsyncDisposable {
  peer: RawPeer;
  conn: Connection;
  closed: Promise<CloseRecord>;
  /** What `onError` was given. */
  errors: unknown[];
}

/** The end that is ours, as it stands in the names of tests. */
export const ENDS = ["listener", "client"] as const;

/** Opens a pair of which ours is a listener's connection or a client. */
export async function echoPair(
  ours: typeof ENDS[number],
  options: ConnectionOptions = {},
): Promise<EchoPair> {
  const errors: unknown[] = [];
  const { promise: opened, resolve } = Promise.withResolvers<Connection>();
  const ctx = new Context({
    maxMessageSize: 64 * 1024 * 1024,
    maxQueueBytes: 64 * 1024 * 1024,
    onMessage: (conn, data) => conn.send(data),
    ...options,
    onConnect: (conn) => resolve(conn),
    onError: (conn, error) => {
      errors.push(error);
      return options.onError?.(conn, error);
    },
  });
  let peer: RawPeer;
  if (ours === "listener") {
    const listener = ctx.listen({ hostname: "127.0.0.1", port: 0 });
    peer = await RawPeer.connect(listener.port);
  } else {
    using listener = rawListener();
    ctx.connect(urlOf(listener));
    peer = await RawPeer.accept(listener);
  }
  const conn = await opened;
  return {
    peer,
    conn,
    closed: conn.closed,
    errors,
    async [Symbol.asyncDispose]() {
      peer.close();
      await ctx.shutdown();
    },
  };
}
