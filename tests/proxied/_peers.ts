/** Helpers for the tests of peers behind proxies. */
import { type Connection, Context, type Listener, type ListenOptions } from "../../mod.ts";
import { concat, utf8 } from "../support/bytes.ts";

/** The signature of version 2 (PROXY protocol, 2.2). */
const SIGNATURE = Uint8Array.from([...utf8("\r\n\r\n"), 0, ...utf8("\r\nQUIT\n")]);

/** Makes a head of version 1. */
export function v1(address: string, port: number): Uint8Array {
  const family = address.includes(":") ? "TCP6" : "TCP4";
  const target = family === "TCP6" ? "::1" : "10.0.0.1";
  return utf8(`PROXY ${family} ${address} ${target} ${port} 80\r\n`);
}

/** Makes a head of version 2 for an IPv4 address. */
export function v2(address: string, port: number, tlvs: number[] = []): Uint8Array {
  const body = [...address.split(".").map(Number), 10, 0, 0, 1, port >> 8, port & 0xff, 0, 80];
  return v2Head(0x21, 0x11, [...body, ...tlvs]);
}

/** Makes any head of version 2, valid or not. */
export function v2Head(
  command: number,
  family: number,
  body: number[],
  length?: number,
): Uint8Array {
  const size = length ?? body.length;
  return concat(SIGNATURE, Uint8Array.of(command, family, size >> 8, size & 0xff, ...body));
}

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
