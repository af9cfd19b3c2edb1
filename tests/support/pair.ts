import { type Connection, type ConnectOptions, Context, type ListenOptions } from "../../mod.ts";
import { rawListener, RawPeer, urlOf } from "./raw_peer.ts";

/** A client and the server's end of its connection, both ours. */
export interface Pair extends AsyncDisposable {
  readonly ctx: Context;
  readonly client: Connection;
  readonly server: Connection;
}

/** Connects the two ends; what is open in the end is terminated. */
export async function pair(server: ListenOptions = {}, client: ConnectOptions = {}): Promise<Pair> {
  const ctx = new Context();
  const accepted = Promise.withResolvers<Connection>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    ...server,
    onConnect(conn) {
      accepted.resolve(conn);
      return server.onConnect?.(conn);
    },
  });
  const conn = ctx.connect(listener.url, client);
  await conn.opened;
  return { ctx, client: conn, server: await accepted.promise, ...disposal(ctx) };
}

/** One of our connections, whose peer is spoken by hand. */
export interface RawPair extends AsyncDisposable {
  readonly ctx: Context;
  readonly conn: Connection;
  readonly raw: RawPeer;
}

/** Connects a peer by hand to a server of ours; `early` comes in one segment with its request. */
export async function rawPeer(options: ListenOptions = {}, early?: Uint8Array): Promise<RawPair> {
  const ctx = new Context();
  const accepted = Promise.withResolvers<Connection>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    ...options,
    onConnect(conn) {
      accepted.resolve(conn);
      return options.onConnect?.(conn);
    },
  });
  const host = { "Host": `127.0.0.1:${listener.port}` };
  const raw = await RawPeer.connect(listener.port, host, undefined, early);
  return { ctx, conn: await accepted.promise, raw, ...disposal(ctx, raw) };
}

/** Connects a client of ours to a server by hand; `early` comes in one segment with its answer. */
export async function rawHost(options: ConnectOptions = {}, early?: Uint8Array): Promise<RawPair> {
  const ctx = new Context();
  using listener = rawListener();
  const conn = ctx.connect(urlOf(listener), options);
  const raw = await RawPeer.accept(listener, { behind: early === undefined ? [] : [early] });
  await conn.opened;
  return { ctx, conn, raw, ...disposal(ctx, raw) };
}

function disposal(ctx: Context, raw?: RawPeer): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      // Without a timer, so that it ends while a virtual clock stands still, too.
      for (const conn of ctx.connections) conn.terminate();
      await ctx.shutdown();
      raw?.close();
    },
  };
}
