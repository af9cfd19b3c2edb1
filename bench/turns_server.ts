// The server of turns.ts: turns_server.ts SOCKETS SECONDS. Echoes, and does other work at the same time: waits for a
// timer of 10 ms, reads a file, sends itself bytes over a socket of the runtime's. Prints its port, and how late each of
// these was from a second after the first connection on.

import { Context } from "../mod.ts";
import { systemSockets } from "../system.ts";

const [kind, seconds] = Deno.args;
const LARGEST = 64 * 1024 * 1024;
const PERIOD = 10, WARM_UP = 1000;

const connected = Promise.withResolvers<void>();
const ctx = new Context({ sockets: kind === "system" ? systemSockets() : undefined });
const listener = ctx.listen({
  hostname: "127.0.0.1",
  origins: /./,
  maxMessageSize: LARGEST,
  maxQueueBytes: 2 * LARGEST,
  onConnect: () => connected.resolve(),
  onMessage(conn, data) {
    if (conn.state === "open" && !conn.send(data)) conn.pause();
  },
  onDrain: (conn) => conn.resume(),
  onError() {},
});
console.log(`listening on ${listener.url}`);
await connected.promise;
await pause(WARM_UP);
const end = performance.now() + Number(seconds) * 1000;
const [timer, file, socket] = await Promise.all([
  repeat(async () => {
    await pause(PERIOD);
    return PERIOD;
  }),
  repeat(() => Deno.readTextFile("/etc/hostname")),
  overSocket(),
]);
console.log(JSON.stringify({ timer, file, socket }));

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

interface Late {
  p50: number;
  p99: number;
  max: number;
}

/** How much longer than intended some work takes, measured again and again. */
async function repeat(act: () => Promise<unknown>): Promise<Late> {
  const late: number[] = [];
  while (performance.now() < end) {
    const start = performance.now();
    const meant = await act();
    late.push(performance.now() - start - (typeof meant === "number" ? meant : 0));
    // Not so often that it becomes the main work of the process.
    if (typeof meant !== "number") await pause(PERIOD);
  }
  late.sort((a, b) => a - b);
  const at = (share: number) => late[Math.min(late.length - 1, Math.floor(late.length * share))];
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

async function overSocket(): Promise<Late> {
  using server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using here = await Deno.connect({ hostname: "127.0.0.1", port: server.addr.port });
  using there = await server.accept();
  const bytes = new Uint8Array(64);
  return await repeat(async () => {
    await here.write(bytes);
    await there.read(bytes);
  });
}
