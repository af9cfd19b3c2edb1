// Measures how much memory a message costs that is too large to hold: sent by sendStream in one process and received
// in another one through the frame callbacks with assemble: false; the same with a slow callback; and as one frame of
// that length, which a plain socket sends.
//
//   deno run -A bench/large_message.ts [--gib N]

import { Context } from "../mod.ts";
import { readOptions } from "../tools/options.ts";

const MiB = 1024 * 1024;
// The most that either side may grow by, in MiB.
const LIMIT = 32;

const WAYS: Record<string, string> = {
  free: "sendStream, as fast as it goes",
  held: "sendStream, each 16 MiB held for 20 ms",
  frame: "one frame",
};

const { values } = readOptions({
  gib: { type: "string", default: "1" },
  receive: { type: "string" },
});

/** Resident memory in MiB: the most that it has grown by since this object was made. */
class Growth {
  readonly #start = Deno.memoryUsage().rss;
  #most = this.#start;

  look(): void {
    this.#most = Math.max(this.#most, Deno.memoryUsage().rss);
  }

  get mib(): number {
    return Math.round((this.#most - this.#start) / MiB);
  }
}

/** Sends and receives a little first, so that the measurement does not include the warm-up. */
async function warmUp(): Promise<void> {
  await using ctx = new Context();
  const done = Promise.withResolvers<void>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    assemble: false,
    maxMessageSize: 0,
    onFrameChunk() {},
    onFrameEnd: () => {},
    onClose: () => done.resolve(),
  });
  const conn = ctx.connect(listener.url);
  await conn.opened;
  await conn.sendStream(pieces(64 * MiB));
  conn.close();
  await done.promise;
}

function* pieces(total: number, look: () => void = () => {}): Generator<Uint8Array> {
  const piece = new Uint8Array(64 * 1024).fill(7);
  for (let sent = 0; sent < total; sent += piece.length) {
    if (sent % (16 * MiB) === 0) look();
    yield piece;
  }
}

async function receive(way: string): Promise<void> {
  await warmUp();
  const growth = new Growth();
  let bytes = 0, looked = 0, sum = 0;
  const ctx = new Context();
  const ended = Promise.withResolvers<void>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    assemble: false,
    maxMessageSize: 0,
    onFrameChunk(_conn, chunk) {
      bytes += chunk.length;
      sum += chunk[0];
      if (bytes - looked < 16 * MiB) return;
      looked = bytes;
      growth.look();
      // A slow receiver: the sender has to wait, and nothing may queue up on either side.
      if (way === "held") return new Promise((resolve) => setTimeout(resolve, 20));
    },
    onFrameEnd() {},
    onClose: () => ended.resolve(),
  });
  console.log(listener.url);
  await ended.promise;
  await ctx.shutdown();
  console.log(JSON.stringify({ bytes, sum, growth: growth.mib }));
}

/** Sends one frame of that length over a socket, masked with zeros. */
async function sendFrame(url: string, total: number): Promise<void> {
  const { hostname, port } = new URL(url);
  using socket = await Deno.connect({ hostname, port: Number(port) });
  const write = async (bytes: Uint8Array) => {
    while (bytes.length > 0) bytes = bytes.subarray(await socket.write(bytes));
  };
  const key = "dGhlIHNhbXBsZSBub25jZQ==";
  await write(
    new TextEncoder().encode(
      "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    ),
  );
  await socket.read(new Uint8Array(1024));
  const header = new Uint8Array(14);
  header.set([0x82, 0xff]);
  new DataView(header.buffer).setBigUint64(2, BigInt(total));
  await write(header);
  for (const piece of pieces(total)) await write(piece);
  await write(new Uint8Array([0x88, 0x80, 0, 0, 0, 0]));
  // The end of the answer.
  while (await socket.read(new Uint8Array(1024)) !== null);
}

async function measure(way: string, total: number): Promise<boolean> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", import.meta.url, "--receive", way],
    stdout: "piped",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const url = (await lines.read()).value!.trim();
  const growth = new Growth();
  const ctx = new Context();
  const start = performance.now();
  if (way === "frame") {
    await sendFrame(url, total);
  } else {
    const conn = ctx.connect(url);
    await conn.opened;
    await conn.sendStream(pieces(total, () => growth.look()));
    conn.close();
  }
  let answer = "";
  for (let part = await lines.read(); !part.done; part = await lines.read()) answer += part.value;
  const seconds = (performance.now() - start) / 1000;
  const received = JSON.parse(answer);
  if (received.bytes !== total) throw new Error(`${received.bytes} of ${total} bytes arrived`);
  await ctx.shutdown();
  await child.status;
  const name = WAYS[way];
  console.log(
    `${total / MiB} MiB, ${name}: ${Math.round(total / MiB / seconds)} MiB/s, ` +
      `RSS growth of the sender ${growth.mib} MiB, of the receiver ${received.growth} MiB`,
  );
  return growth.mib < LIMIT && received.growth < LIMIT;
}

if (values.receive !== undefined) {
  await receive(values.receive);
} else {
  const total = Number(values.gib) * 1024 * MiB;
  await warmUp();
  const passed = [];
  for (const way of Object.keys(WAYS)) passed.push(await measure(way, total));
  console.log(`limit ${LIMIT} MiB: ${passed.every(Boolean) ? "kept" : "EXCEEDED"}`);
  if (!passed.every(Boolean)) Deno.exit(1);
}
