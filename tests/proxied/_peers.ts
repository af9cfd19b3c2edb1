/** Helpers for the tests of peers behind proxies. */
import { type Connection, Context, type Listener, type ListenOptions } from "../../mod.ts";

/** A server that records the addresses of its peers. */
export interface Telling extends AsyncDisposable {
  readonly ctx: Context;
  readonly listener: Listener;
  /** `conn.remoteAddress` of each connection. */
  readonly connected: string[];
  /** The address that each `onHandshake` got. */
  readonly asked: string[];
  /** The address and the error of each failed handshake. */
  readonly failed: [address: string, message: string][];
}

/** An address as `10.0.0.1 4711`, or its kind if it has no host. */
export function shown(address: Deno.Addr | null): string {
  if (address === null) return "none";
  return "hostname" in address ? `${address.hostname} ${address.port}` : address.transport;
}

/** Starts such a server. It answers ordinary requests with the client's address. */
export function telling(options: ListenOptions): Telling {
  const ctx = new Context({ keepAlive: false });
  const connected: string[] = [], asked: string[] = [];
  const failed: [string, string][] = [];
  const listener = ctx.listen({
    ...("unix" in options ? {} : { hostname: "127.0.0.1" }),
    handler: (_, { remoteAddr }) => new Response(shown(remoteAddr)),
    ...options,
    onHandshake: (_, { remoteAddr }) => void asked.push(shown(remoteAddr)),
    onConnect: (conn: Connection) => void connected.push(shown(conn.remoteAddress)),
    onMessage: (conn, data) => void conn.send(data),
    onHandshakeError: (error, { remoteAddr }) =>
      void failed.push([shown(remoteAddr), (error as Error).message]),
  });
  return {
    ctx,
    listener,
    connected,
    asked,
    failed,
    [Symbol.asyncDispose]: async () => void await ctx.shutdown({ timeout: 0 }),
  };
}
