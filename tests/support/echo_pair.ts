import type { CloseRecord, Connection, ConnectionOptions } from "../../mod.ts";
import { RAW_PAIRS } from "./pair.ts";
import type { RawPeer } from "./raw_peer.ts";

/** A connection of the library that echoes, and its raw peer. */
export interface EchoPair extends AsyncDisposable {
  /** The raw peer. Over HTTP/2 its `conn` is a stream. */
  peer: RawPeer;
  conn: Connection;
  closed: Promise<CloseRecord>;
  /** The errors that `onError` has received. */
  errors: unknown[];
}

/** The roles of the library's connection, as test names give them. */
export type End = keyof typeof RAW_PAIRS;
export const ENDS = Object.keys(RAW_PAIRS) as End[];

/** Opens a pair in which the library's connection has a role. */
export async function echoPair(ours: End, options: ConnectionOptions = {}): Promise<EchoPair> {
  const errors: unknown[] = [];
  const pair = await RAW_PAIRS[ours]({
    maxMessageSize: 64 * 1024 * 1024,
    maxQueueBytes: 64 * 1024 * 1024,
    onMessage: (conn, data) => conn.send(data),
    ...options,
    onError: (conn, error) => {
      errors.push(error);
      return options.onError?.(conn, error);
    },
  });
  return {
    peer: pair.raw,
    conn: pair.conn,
    closed: pair.conn.closed,
    errors,
    [Symbol.asyncDispose]: () => pair[Symbol.asyncDispose](),
  };
}
