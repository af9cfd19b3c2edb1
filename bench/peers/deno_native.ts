// Deno's own WebSocket: `Deno.serve` and `Deno.upgradeWebSocket`.

export { connect } from "./native_client.ts";

interface ServeOptions {
  broadcast: boolean;
  tls?: { cert: string; key: string };
}

/** Echoes every message, or sends it to every client as often as its first byte says. */
export function serve({ broadcast, tls }: ServeOptions): number {
  const clients = new Set<WebSocket>();
  const handler = (request: Request): Response => {
    const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
    socket.binaryType = "arraybuffer";
    if (!broadcast) {
      socket.onmessage = (event) => socket.send(event.data);
      return response;
    }
    socket.onopen = () => clients.add(socket);
    socket.onclose = () => clients.delete(socket);
    socket.onmessage = (event) => {
      const times = new Uint8Array(event.data)[0];
      for (let i = 0; i < times; i++) {
        for (const client of clients) client.send(event.data);
      }
    };
    return response;
  };
  const options = { port: 0, hostname: "127.0.0.1", onListen: () => {}, ...tls };
  return (Deno.serve(options, handler).addr as Deno.NetAddr).port;
}
