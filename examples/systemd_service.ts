/**
 * An echo server as a systemd service: the socket is systemd's (socket activation), so that clients wait rather than fail
 * while the service restarts; systemd is notified when it is ready, that it is alive, and that it stops.
 *
 *     deno run --allow-net --allow-env --allow-run=systemd-notify examples/systemd_service.ts
 *
 * The unit files are in docs/deployment.md. Try it without systemd: it listens on a port of its own then, and
 * prints the URL for `sluice connect`.
 *
 * @module
 */
import { createServer, type Socket } from "node:net";
import { Context } from "@sluice/websocket";

// The first of the file descriptors that systemd passes (sd_listen_fds(3)).
const FIRST_FD = 3;
const WATCHDOG_USEC = Number(Deno.env.get("WATCHDOG_USEC") ?? 0);

const ctx = new Context();

/** Notifies systemd; does nothing without systemd. */
async function notify(...words: string[]): Promise<void> {
  if (Deno.env.get("NOTIFY_SOCKET") === undefined) return;
  await new Deno.Command("systemd-notify", { args: words }).output();
}

// Only node:net can use a socket that another process has bound; the context adopts its connections.
const server = createServer({ noDelay: true }, (socket: Socket) => {
  // A client that has gone already can't be adopted.
  try {
    ctx.adopt(socket, { onMessage: (conn, data) => void conn.send(data), onError: () => {} });
  } catch {
    socket.destroy();
  }
});
const isActivated = Deno.env.get("LISTEN_PID") === String(Deno.pid) &&
  Deno.env.get("LISTEN_FDS") === "1";
server.listen(isActivated ? { fd: FIRST_FD } : { host: "127.0.0.1", port: 0 });
await new Promise((resolve) => server.once("listening", resolve));
const address = server.address() as { address: string; port: number };
const url = `ws://${address.address}:${address.port}/`;
console.log(`listening on ${url}`);
await notify("--ready", `--status=listening on ${url}`);

/** Whether a client can connect and get an echo; a service where that fails is restarted. */
async function isAlive(): Promise<boolean> {
  try {
    await using conn = ctx.connect(url, { connectTimeout: 2000, onError: () => {} });
    await conn.opened;
    await conn.ping(undefined, { timeout: 2000 });
    return true;
  } catch {
    return false;
  }
}

if (WATCHDOG_USEC > 0) {
  setInterval(async () => {
    if (await isAlive()) await notify("WATCHDOG=1");
  }, WATCHDOG_USEC / 2000);
}

Deno.addSignalListener("SIGTERM", async () => {
  // Clients that connect from now on wait in systemd's socket, for the next instance.
  server.close();
  await notify("STOPPING=1");
  await ctx.shutdown({ timeout: 20_000 });
  Deno.exit();
});
