/**
 * What waits in the kernel: the same slow consumer over Deno's sockets, and over the kernel's own with small buffers. Over
 * the latter the queue is where the program sees it, and a ping passes it at once.
 *
 *     deno run --allow-net --allow-ffi examples/system_sockets.ts
 *
 * Try it on Linux; elsewhere `systemSockets` throws an error that says so.
 *
 * @module
 */
import { Context, type Sockets } from "@sluice/websocket";
import { systemSockets } from "@sluice/websocket/system";

const MESSAGES = 512, SIZE = 16 * 1024;
const TOTAL = MESSAGES * SIZE;

/** Sends 8 MiB to a consumer that takes a message per turn of a timer, and measures a ping behind them. */
async function measure(name: string, sockets?: Sockets): Promise<void> {
  await using server = new Context({ sockets });
  await using client = new Context({ sockets });
  const measured = Promise.withResolvers<void>();
  const listener = server.listen({
    hostname: "127.0.0.1",
    async onConnect(conn) {
      for (let i = 0; i < MESSAGES; i++) conn.send(new Uint8Array(SIZE));
      // What is sent in one turn of the event loop is written after it.
      await new Promise((resolve) => setTimeout(resolve, 10));
      const { queuedBytes, unacknowledgedBytes } = conn;
      const roundTrip = await conn.ping();
      console.log(`${name}:`);
      console.log(`  in the queue, of ${TOTAL} bytes: ${queuedBytes}`);
      console.log(`  in this kernel, not acknowledged: ${unacknowledgedBytes ?? "unknown"}`);
      console.log(`  a ping behind them takes ${roundTrip.toFixed(0)} ms`);
      measured.resolve();
    },
  });
  client.connect(listener.url, {
    onMessage: () => new Promise<void>((resolve) => setTimeout(resolve, 1)),
  });
  await measured.promise;
  await Promise.all([client.shutdown({ timeout: 0 }), server.shutdown({ timeout: 0 })]);
}

await measure("Deno's sockets");
await measure(
  "system sockets with small buffers",
  systemSockets({ notSentLowWater: 16 * 1024, sendBuffer: 64 * 1024, receiveBuffer: 64 * 1024 }),
);
