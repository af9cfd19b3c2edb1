// The two sides of http2.ts: http2_process.ts serve|load OPTIONS(JSON). The server echoes and prints its port; the client
// keeps messages on their way, or only opens its sockets, and prints what it saw.

import { type Connection, Context } from "../mod.ts";

const [role, json] = Deno.args;
const { cert, key, version, port, sockets, depth, size, seconds } = JSON.parse(json);
const WARM_UP = 1000;
/** So many latencies are kept. */
const KEPT = 1_000_000;

const ctx = new Context();
if (role === "serve") {
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    tls: { cert: Deno.readTextFileSync(cert), key: Deno.readTextFileSync(key) },
    http2: version === "2",
    onMessage(conn, data) {
      if (conn.state === "open" && !conn.send(data)) conn.pause();
    },
    onDrain: (conn) => conn.resume(),
    onError() {},
  });
  console.log(`listening ${listener.port}`);
} else {
  const tls = { caCerts: [Deno.readTextFileSync(cert)] };
  const opened: Connection[] = [];
  for (let n = 0; n < sockets; n++) {
    const conn = ctx.connect(`wss://127.0.0.1:${port}/`, { tls, http2: version === "2" });
    await conn.opened;
    if (conn.httpVersion !== version) throw new Error(`Got HTTP/${conn.httpVersion}`);
    opened.push(conn);
  }
  if (depth === 0) console.log("{}");
  else load(opened);
}

function load(opened: Connection[]): void {
  const message = new Uint8Array(size).fill(1), latencies = new Float64Array(KEPT);
  let messages = 0, counting = false, sent = performance.now();
  const onMessage = (conn: Connection, data: string | Uint8Array) => {
    if (data.length !== size) throw new Error(`An echo of ${data.length} bytes`);
    if (counting) {
      // With more than one on their way it isn't known which of them was sent when.
      if (messages < KEPT) latencies[messages] = performance.now() - sent;
      messages++;
    }
    sent = performance.now();
    conn.send(message);
  };
  for (const conn of opened) {
    conn.on({ onMessage });
    for (let n = 0; n < depth; n++) conn.send(message);
  }
  setTimeout(() => {
    const start = performance.now();
    counting = true;
    setTimeout(() => {
      const took = (performance.now() - start) / 1000;
      const sorted = latencies.subarray(0, Math.min(messages, KEPT)).sort();
      const at = (share: number) => 1000 * sorted[Math.floor(sorted.length * share)];
      console.log(JSON.stringify({ messages, took, p50: at(0.5), p99: at(0.99) }));
    }, seconds * 1000);
  }, WARM_UP);
}
