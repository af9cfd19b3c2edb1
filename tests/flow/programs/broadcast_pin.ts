// Broadcasts one large message, shuts down, and prints how much of its memory wasn't released.
import { Context } from "../../../mod.ts";
import { MemoryConn } from "../../support/memory_conn.ts";
import { turn } from "../../support/until.ts";

const MIB = 1024 * 1024;
const collect = (globalThis as unknown as { gc(): void }).gc;

async function broadcastAndLeave(): Promise<void> {
  const ctx = new Context({ maxQueueBytes: 0, keepAlive: false });
  const ends = Array.from({ length: 3 }, () => MemoryConn.pair());
  for (const [ours] of ends) await ctx.adopt(ours, { handshake: false }).opened;
  ctx.broadcast(new Uint8Array(100 * MIB));
  // Some bytes are in flight at the end.
  await turn();
  await ctx.shutdown({ timeout: 0 });
}

await broadcastAndLeave();
let held = Infinity;
// Memory that is collected in one round shows in the figures of the next.
for (let round = 0; round < 5; round++) {
  await turn();
  collect();
  held = Math.min(held, Math.round(Deno.memoryUsage().external / MIB));
}
console.log(held);
