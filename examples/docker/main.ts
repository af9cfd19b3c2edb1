/**
 * An echo server as a container: it listens on all addresses, answers health checks, and shuts down in order on SIGTERM.
 *
 *     deno run --allow-net --allow-env=HOST,PORT examples/docker/main.ts
 *
 * Try it: in this directory, `docker compose up --build`, then `sluice connect ws://127.0.0.1:8080`; or without Docker
 * by the command above.
 *
 * @module
 */
import { Context } from "@sluice/websocket";

let ready = true;
const ctx = new Context();
const listener = ctx.listen({
  // In a container 127.0.0.1 is the container itself.
  hostname: Deno.env.get("HOST") ?? "127.0.0.1",
  port: Number(Deno.env.get("PORT") ?? 8080),
  onMessage(conn, data) {
    if (conn.state === "open" && !conn.send(data)) conn.pause();
  },
  onDrain: (conn) => conn.resume(),
  handler(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/healthz") return new Response("alive\n");
    if (pathname !== "/readyz") return new Response(null, { status: 404 });
    return new Response(ready ? "ready\n" : "stopping\n", { status: ready ? 200 : 503 });
  },
});
console.log(`listening on ${listener.url}`);

// `docker stop` sends SIGTERM, and SIGKILL 10 seconds later. PID 1 gets no signal that it has no handler for.
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, async () => {
    ready = false;
    const { clean, terminated } = await ctx.shutdown({ timeout: 8000 });
    console.log(`closed ${clean} cleanly, ${terminated} by force`);
    Deno.exit(terminated === 0 ? 0 : 1);
  });
}
