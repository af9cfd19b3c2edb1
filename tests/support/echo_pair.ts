import { type CloseRecord, type Connection, type ConnectionOptions, Context } from "../../mod.ts";
import { Http2Bytes, Http2Origin, Http2Peer } from "./http2_peer.ts";
import { type ByteStream, rawListener, RawPeer, urlOf } from "./raw_peer.ts";

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
export const ENDS = ["listener", "client"] as const;

/** The same roles over both versions of HTTP. */
export const ALL_ENDS = [...ENDS, "listener over HTTP/2", "client over HTTP/2"] as const;

/** Opens a pair in which the library's connection has a role. */
export async function echoPair(
  ours: typeof ALL_ENDS[number],
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
  const overHttp2 = new AsyncDisposableStack();
  let peer: RawPeer<ByteStream>;
  if (ours === "listener") {
    const listener = ctx.listen({ hostname: "127.0.0.1", port: 0 });
    peer = await RawPeer.connect(listener.port);
  } else if (ours === "listener over HTTP/2") {
    const { port } = ctx.listen({ hostname: "127.0.0.1", http2: true });
    peer = await overHttp2.use(await Http2Peer.connect(port)).webSocket();
  } else if (ours === "client over HTTP/2") {
    const origin = overHttp2.use(await Http2Origin.start());
    ctx.connect(origin.url, { http2: true, tls: { caCerts: [origin.ca] } });
    const stream = await origin.streams.next();
    stream.respond({ ":status": 200 });
    peer = new RawPeer(new Http2Bytes(stream), "server");
  } else {
    using listener = rawListener();
    ctx.connect(urlOf(listener));
    peer = await RawPeer.accept(listener);
  }
  const conn = await opened;
  return {
    peer: peer as unknown as RawPeer,
    conn,
    closed: conn.closed,
    errors,
    async [Symbol.asyncDispose]() {
      peer.close();
      await overHttp2.disposeAsync();
      await ctx.shutdown();
    },
  };
}
