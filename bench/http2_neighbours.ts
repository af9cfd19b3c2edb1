// Measures what a WebSocket that is held costs the others on its HTTP/2 connection:
//
//   deno task bench:neighbours [--seconds 5] [--rounds 3]
//
// 100 WebSockets share a connection. 99 of them echo 64 bytes, one message in flight on each: first alone, then while the
// server has paused the hundredth, which is sent 64 MiB. Client and server are processes of their own. Ends with 1 if p99
// rises above twice its value without the held one.

import { type Connection, Context } from "../mod.ts";
import { makeCertificates } from "../tests/transport/certificates.ts";
import { readOptions } from "../tools/options.ts";

const { values } = readOptions({
  serve: { type: "string" },
  seconds: { type: "string", default: "5" },
  rounds: { type: "string", default: "3" },
});
const COUNT = 100, SIZE = 64, HELD = 64 << 20, PART = 64 * 1024;
/** The largest p99 that passes, as a multiple of its value without the held WebSocket. */
const SLOWER = 2;

/** The server: it echoes, but on `/held` reads nothing. */
function serve(dir: string): void {
  const tls = {
    cert: Deno.readTextFileSync(`${dir}/cert`),
    key: Deno.readTextFileSync(`${dir}/key`),
  };
  const { port } = new Context().listen({
    hostname: "127.0.0.1",
    tls,
    http2: true,
    onConnect: (conn) => {
      if (new URL(conn.request!.url).pathname === "/held") conn.pause();
    },
    onMessage: (conn, data) => void conn.send(data),
  });
  console.log(port);
}

/** The latencies of echoes, in ms, in ascending order. */
async function measure(conns: Connection[], seconds: number): Promise<number[]> {
  const latencies: number[] = [], message = new Uint8Array(SIZE);
  const end = performance.now() + seconds * 1000;
  await Promise.all(conns.map(async (conn) => {
    for (let start = performance.now(); start < end; start = performance.now()) {
      conn.send(message);
      await conn.receive();
      latencies.push(performance.now() - start);
    }
  }));
  return latencies.sort((a, b) => a - b);
}

async function main(): Promise<number> {
  const seconds = Number(values.seconds);
  using certificates = makeCertificates();
  const { ca, dir, server: { cert, key } } = certificates;
  await Deno.writeTextFile(`${dir}/cert`, cert);
  await Deno.writeTextFile(`${dir}/key`, key);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", import.meta.filename!, "--serve", dir],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const ctx = new Context({ maxQueueBytes: 0, keepAlive: false });
  const ratios: number[] = [];
  try {
    const url = `wss://localhost:${((await reader.read()).value ?? "").trim()}`;
    const open = async (path: string) => {
      const conn = ctx.connect(url + path, { http2: true, tls: { caCerts: [ca] } });
      await conn.opened;
      if (conn.httpVersion !== "2") throw new Error(`HTTP/${conn.httpVersion}`);
      return conn;
    };
    const conns: Connection[] = [];
    while (conns.length < COUNT - 1) conns.push(await open("/"));
    await measure(conns, 1);
    console.log("| round | held | echoes | p50 ms | p99 | max | p99 × |");
    console.log("| --- | --- | --- | --- | --- | --- | --- |");
    for (let round = 1; round <= Number(values.rounds); round++) {
      let quiet = 0;
      for (const held of [false, true]) {
        const last = await open("/held");
        if (held) { for (let sent = 0; sent < HELD; sent += PART) last.send(new Uint8Array(PART)); }
        const latencies = await measure(conns, seconds);
        if (held && last.queuedBytes < HELD / 2) throw new Error("It isn't held");
        last.terminate();
        const at = (share: number) => latencies[Math.floor((latencies.length - 1) * share)];
        if (held) ratios.push(at(0.99) / quiet);
        else quiet = at(0.99);
        const figures = [at(0.5), at(0.99), at(1)].map((ms) => ms.toFixed(2)).join(" | ");
        const times = held ? ratios.at(-1)!.toFixed(2) : "";
        console.log(
          `| ${round} | ${held ? "yes" : "no"} | ${latencies.length} | ${figures} | ${times} |`,
        );
      }
    }
  } finally {
    await ctx.shutdown({ timeout: 0 });
    child.kill("SIGTERM");
    await child.status;
    await reader.cancel();
  }
  const median = ratios.toSorted((a, b) => a - b)[ratios.length >> 1];
  console.log(`\nmedian of p99 ×: ${median.toFixed(2)}; at most ${SLOWER} is required`);
  return median <= SLOWER ? 0 : 1;
}

if (values.serve !== undefined) serve(values.serve);
else Deno.exit(await main());
