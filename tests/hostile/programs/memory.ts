// The memory of a server for connections of one kind: memory.ts KIND COUNT EXTRA OPTIONS(JSON). Attacks itself with attack.ts, and
// prints { grown, perConnection, connections } in bytes.
import { type Connection, Context, QueueFullError } from "../../../mod.ts";

const [kind, count, extra, json] = Deno.args;
const { pause = false, fill = -1, streams = false, echo = false, ...options } = JSON.parse(
  json ?? "{}",
);
const ctx = new Context();
/** Queues as many messages of a size as possible for a peer that reads nothing. */
function fillQueue(conn: Connection, size: number): void {
  const message = "x".repeat(size);
  try {
    for (;;) conn.send(message);
  } catch (error) {
    if (!(error instanceof QueueFullError)) throw error;
  }
}

const listener = ctx.listen({
  hostname: "127.0.0.1",
  keepAlive: false,
  handshakeTimeout: 600_000,
  maxHandshakes: 100_000,
  onConnect: (conn) => {
    if (pause) conn.pause();
    if (fill >= 0) fillQueue(conn, fill);
    // Takes one message as a stream, and never reads it.
    if (streams) conn.messageStreams().next();
  },
  onMessage: streams ? undefined : () => {},
  handler: echo ? (request) => new Response(request.body) : undefined,
  onError: () => {},
  onHandshakeError: () => {},
  ...options,
});

const collect = (globalThis as unknown as { gc(): void }).gc;
const rss = () => {
  collect();
  return Deno.memoryUsage().rss;
};
const settle = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function attack(count: number): Promise<Deno.ChildProcess> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      new URL("./attack.ts", import.meta.url).pathname,
      String(listener.port),
      `${kind}:${count}:${extra ?? 0}`,
    ],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  await reader.cancel();
  // Waits until the written bytes are read. Some kinds never stop writing.
  let before = -1;
  for (let i = 0; i < 15; i++) {
    const { bytesReceived } = ctx.stats();
    // Bytes of ordinary HTTP aren't counted, so the whole time is waited for.
    if (bytesReceived === before && !echo) break;
    before = bytesReceived;
    await settle(200);
  }
  return child;
}

// A small first round warms up code and pools. Memory that the allocator keeps of it isn't measured.
const warm = await attack(Math.ceil(Number(count) / 10));
warm.kill("SIGKILL");
await warm.status;
// A paused connection doesn't notice that its peer has disconnected.
for (const conn of ctx.connections) conn.terminate();
while (ctx.connections.size > 0) await settle(10);
const before = rss();
const child = await attack(Number(count));
const grown = rss() - before;
const { openConnections, queuedBytes, bytesReceived } = ctx.stats();
console.log(JSON.stringify({
  grown,
  perConnection: Math.round(grown / Number(count)),
  openConnections,
  queuedBytes,
  bytesReceived,
}));
child.kill("SIGKILL");
await child.status;
Deno.exit(0);
