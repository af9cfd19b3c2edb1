import { assertEquals } from "@std/assert";
import { Context, type Listener, type ListenOptions } from "../../mod.ts";
import { measure } from "../support/child.ts";
import { EventLog } from "../support/event_log.ts";
import { RawPeer, upgradeRequest } from "../support/raw_peer.ts";

/** A server that echoes messages, and the errors of its handshakes. */
export interface Victim extends AsyncDisposable {
  readonly ctx: Context;
  readonly listener: Listener;
  readonly port: number;
  readonly url: string;
  /** The errors of `onHandshakeError`. */
  readonly refused: EventLog<Error>;
}

/** Starts such a server on the loopback interface. */
export function victim(options: ListenOptions = {}): Victim {
  const ctx = new Context();
  const refused = new EventLog<Error>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    onMessage: (conn, data) => void conn.send(data),
    onError: () => {},
    onHandshakeError: (error) => refused.push(error as Error),
    ...options,
  });
  return {
    ctx,
    listener,
    port: listener.port,
    url: listener.url,
    refused,
    async [Symbol.asyncDispose]() {
      await ctx.shutdown({ timeout: 0 });
    },
  };
}

/** Checks that the server still serves: a well-behaved client gets its echo. */
export async function stillServes({ port }: { port: number }): Promise<void> {
  const ctx = new Context();
  const conn = ctx.connect(`ws://127.0.0.1:${port}/`);
  await conn.opened;
  conn.send("honest");
  assertEquals(await conn.receive(), "honest");
  await ctx.shutdown();
}

/** The status of the response to a handshake. */
export async function statusOf(
  port: number,
  changes: Record<string, string | null> = {},
): Promise<number> {
  using peer = await RawPeer.dial(port);
  await peer.write(upgradeRequest(changes));
  await peer.readHead();
  return Number(peer.head.slice(9, 12));
}

/** The result of `memory.ts`. */
export interface Cost {
  perConnection: number;
  openConnections: number;
  queuedBytes: number;
  bytesReceived: number;
}

/** Measures, in a process of its own, the memory that a server needs for connections of a kind. */
export function costOf(
  kind: string,
  count: number,
  extra = 0,
  options: Record<string, unknown> = {},
): Promise<Cost> {
  const program = new URL("./programs/memory.ts", import.meta.url);
  return measure(program, kind, count, extra, JSON.stringify(options));
}
