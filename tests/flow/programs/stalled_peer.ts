// Sends far more than the queue may hold to a peer that never reads, and prints the outcome.
import { QueueFullError } from "../../../mod.ts";
import { rawPeer } from "../../support/pair.ts";
import { turn } from "../../support/until.ts";

const KIB = 1024;
const policy = Deno.args[0] as "throw" | "drop" | "close";
const peer = await rawPeer({ whenQueueFull: policy, closeTimeout: 1000 });
const { conn } = peer;
const message = new Uint8Array(KIB);
const before = Deno.memoryUsage().rss;
let falseAt = 0, sent = 0, highest = 0, outcome = "";
// 128 MiB in several turns, so that the kernel accepts as much as it can.
for (let i = 0; i < 128 && outcome !== "close"; i++) {
  for (let j = 0; j < 1024 && outcome !== "close"; j++) {
    try {
      if (!conn.send(message) && falseAt === 0) falseAt = sent + KIB;
    } catch (error) {
      if (!(error instanceof QueueFullError) || error.data !== message) throw error;
      outcome = "throw";
    }
    sent += KIB;
    if (conn.stats().dropped > 0) outcome = "drop";
    if (conn.state === "closing") outcome = "close";
  }
  highest = Math.max(highest, Deno.memoryUsage().rss);
  await turn();
}
console.log(JSON.stringify({ falseAt, growth: highest - before, outcome }));
await peer[Symbol.asyncDispose]();
