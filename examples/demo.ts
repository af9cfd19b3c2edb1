/**
 * The library at work, with figures: starts the echo server on a free port, connects our client and Deno's own to it,
 * exchanges text, binary and a fragmented message, and streams 64 MiB past a slow reader. Exits with 1 if anything isn't
 * as it should be.
 *
 *     deno task demo
 *     deno run --allow-net --allow-env --allow-run --allow-read examples/demo.ts
 *
 * @module
 */
import { type Connection, Context } from "@sluice/websocket";

const MIB = 1024 * 1024;
const TOTAL = 64 * MIB;
const CHUNK = 64 * 1024;
const QUEUE_LIMIT = 128 * 1024;

let failures = 0;

function check(what: string, holds: boolean): void {
  if (!holds) failures++;
  console.log(`${holds ? "  ok  " : "FAILED"} ${what}`);
}

function equal(a: string | Uint8Array, b: string | Uint8Array): boolean {
  if (typeof a === "string" || typeof b === "string") return a === b;
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Starts the echo server as a process of its own. */
async function startServer(): Promise<{ url: string; stop(): Promise<void> }> {
  const server = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-net", new URL("echo_server.ts", import.meta.url).href],
    stdout: "piped",
  }).spawn();
  const lines = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await lines.read();
  const url = /ws:\S+/.exec(value)?.[0];
  if (url === undefined) throw new Error(`The echo server said ${JSON.stringify(value)}`);
  return {
    url,
    async stop() {
      server.kill();
      await lines.cancel();
      await server.status;
    },
  };
}

const BINARY = crypto.getRandomValues(new Uint8Array(65_536));

async function ourClient(ctx: Context, url: string): Promise<void> {
  console.log("\nour client");
  await using conn = ctx.connect(url);
  await conn.opened;
  conn.send("Grüße 👋");
  check("text comes back", equal(await conn.receive(), "Grüße 👋"));
  conn.send(BINARY);
  check(`${BINARY.length} bytes come back`, equal(await conn.receive(), BINARY));
  for (const part of ["a message ", "in three ", "frames"]) conn.sendFragment(part);
  conn.sendFragment("", { final: true });
  check(
    "a fragmented message comes back",
    equal(await conn.receive(), "a message in three frames"),
  );
  console.log(`       round trip of a ping: ${(await conn.ping()).toFixed(2)} ms`);
  conn.close(1000, "done");
  console.log(`       closed: ${await conn.closed}`);
}

async function nativeClient(url: string): Promise<void> {
  console.log("\nDeno's own client");
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  const next = () =>
    new Promise<string | Uint8Array>((resolve, reject) => {
      socket.onmessage = ({ data }) =>
        resolve(typeof data === "string" ? data : new Uint8Array(data));
      socket.onerror = () => reject(new Error("Deno's own client has failed"));
    });
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  socket.send("hello");
  check("text comes back", equal(await next(), "hello"));
  socket.send(BINARY);
  check(`${BINARY.length} bytes come back`, equal(await next(), BINARY));
  const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
  socket.close(1000);
  const { code, wasClean } = await closed;
  check(`closes cleanly, with ${code}`, wasClean && code === 1000);
}

async function slowReader(ctx: Context): Promise<void> {
  console.log(`\n${TOTAL / MIB} MiB past a slow reader`);
  const chunk = new Uint8Array(CHUNK);
  let sent = 0, stops = 0, drains = 0;
  const pump = (conn: Connection) => {
    while (sent < TOTAL) {
      sent += CHUNK;
      if (!conn.send(chunk)) {
        stops++;
        return;
      }
    }
    conn.close();
  };
  let highest = 0;
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    onConnect: pump,
    onDrain(conn) {
      drains++;
      pump(conn);
    },
    onClose: (conn) => highest = conn.stats().queueHighWater,
  });
  const memory = Deno.memoryUsage().rss;
  let received = 0, peak = memory;
  const start = performance.now();
  const conn = ctx.connect(listener.url);
  for await (const message of conn) {
    received += message.length;
    // Pauses after every MiB, although the server has more to send.
    if (received % MIB === 0) {
      peak = Math.max(peak, Deno.memoryUsage().rss);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
  const seconds = (performance.now() - start) / 1000;
  await listener.shutdown();
  const mib = (bytes: number) => (bytes / MIB).toFixed(1);
  check(`all ${mib(received)} MiB arrived in ${seconds.toFixed(2)} s`, received === TOTAL);
  check(`the sender stopped ${stops} times, and onDrain came ${drains} times`, drains >= stops);
  check(`most bytes queued: ${highest} (limit ${QUEUE_LIMIT})`, highest <= QUEUE_LIMIT);
  // Both ends are in this process, and payloads that the reader has dropped wait for the garbage collector, so this
  // figure has no bound to keep.
  console.log(`       memory of both ends together grew by ${mib(peak - memory)} MiB`);
}

const server = await startServer();
console.log(`echo server on ${server.url}`);
try {
  await using ctx = new Context();
  await ourClient(ctx, server.url);
  await nativeClient(server.url);
  await slowReader(ctx);
} finally {
  await server.stop();
}
console.log(failures === 0 ? "\nall bounds hold" : `\n${failures} bounds don't hold`);
console.log("in a browser, with a slider: deno task demo:live");
Deno.exitCode = failures === 0 ? 0 : 1;
