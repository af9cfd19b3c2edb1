// Bun's WebSocket server, which is uWebSockets in C++. Runs in Bun only.

export { connect } from "./native_client.ts";

// Only what this file uses: Deno checks it without Bun's types.
interface Socket {
  send(data: string | Uint8Array): number;
  subscribe(topic: string): void;
}
interface Server {
  port: number;
  upgrade(request: Request): boolean;
  publish(topic: string, data: Uint8Array): number;
}
declare const Bun: { serve(options: unknown): Server };

interface ServeOptions {
  broadcast: boolean;
  tls?: { cert: string; key: string };
}

/** Echoes every message, or publishes it to every client as often as its first byte says. */
export function serve({ broadcast, tls }: ServeOptions): number {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls,
    fetch: (request: Request) =>
      server.upgrade(request) ? undefined : new Response(null, { status: 426 }),
    websocket: {
      idleTimeout: 0,
      maxPayloadLength: 64 * 1024 * 1024,
      open: (socket: Socket) => {
        if (broadcast) socket.subscribe("all");
      },
      message: (socket: Socket, data: string | Uint8Array) => {
        if (!broadcast) return void socket.send(data);
        const bytes = data as Uint8Array;
        for (let i = 0; i < bytes[0]; i++) server.publish("all", bytes);
      },
    },
  });
  return server.port;
}
