// Sluice, for the rows that examples/echo_server.ts can't serve: TLS, broadcast, and the client.

import { Context } from "../../mod.ts";
import { systemSockets } from "../../system.ts";

const LARGEST = 64 * 1024 * 1024;

const context = new Context({
  maxMessageSize: LARGEST,
  maxQueueBytes: 2 * LARGEST,
  sockets: Deno.env.get("BENCH_SOCKETS") === "system" ? systemSockets() : undefined,
});

interface ServeOptions {
  broadcast: boolean;
  tls?: { cert: string; key: string };
}

/** Echoes every message, or broadcasts it as often as its first byte says. */
export function serve({ broadcast, tls }: ServeOptions): number {
  const listener = context.listen({
    port: 0,
    hostname: "127.0.0.1",
    tls,
    onError: () => {},
    onMessage: broadcast
      ? (_conn, data) => {
        for (let i = 0; i < (data as Uint8Array)[0]; i++) {
          context.broadcast(data);
        }
      }
      : (conn, data) => {
        if (!conn.send(data)) conn.pause();
      },
    // As in the example: the server doesn't read from a peer that doesn't read its echoes.
    onDrain: (conn) => conn.resume(),
  });
  return listener.port;
}

/** A client that sends and receives binary messages. */
export async function connect(
  url: string,
  _size: number,
  onMessage: (length: number) => void,
): Promise<(payload: Uint8Array) => void> {
  const conn = context.connect(url, { onMessage: (_conn, data) => onMessage(data.length) });
  await conn.opened;
  return (payload) => void conn.send(payload);
}
