/**
 * Measures how far apart two small messages arrive over TLS that were sent a millisecond apart: with Nagle's algorithm
 * the second would wait some 40 ms for the first one's acknowledgement.
 *
 *     deno run -A bench/tls_gap.ts
 *
 * @module
 */
import { Context } from "../mod.ts";
import { certificate } from "./lib/cache.ts";

const ROUNDS = 1000;

const { cert, key } = await certificate();
const [certText, keyText] = await Promise.all([cert, key].map((path) => Deno.readTextFile(path)));
await using ctx = new Context();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  tls: { cert: certText, key: keyText },
  async onMessage(conn) {
    conn.send("1");
    await new Promise((resolve) => setTimeout(resolve, 1));
    conn.send("2");
  },
});
const conn = ctx.connect(listener.url, { tls: { insecure: true } });
await conn.opened;
const gaps: number[] = [];
for (let i = 0; i < ROUNDS; i++) {
  // A question first: it makes the client's system delay the acknowledgement of the answer.
  conn.send("?");
  await conn.receive();
  const first = performance.now();
  await conn.receive();
  gaps.push(performance.now() - first);
}
gaps.sort((a, b) => a - b);
const at = (part: number) => gaps[Math.floor(ROUNDS * part)].toFixed(2);
console.log(`gap between two messages, ms: p50 ${at(0.5)}, p99 ${at(0.99)}, max ${at(0.999)}`);
