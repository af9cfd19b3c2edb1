/**
 * A client that comes back: after each loss it tries again, with a back-off that grows and jitters, so that a thousand
 * clients of one server don't return in step.
 *
 *     deno run --allow-net --allow-env examples/reconnect.ts
 *
 * @module
 */
import { retry } from "@std/async/retry";
import { type Connection, Context } from "../mod.ts";

// In earnest: from 1 s to a minute, for ever.
const BACK_OFF = { minTimeout: 10, maxTimeout: 200, multiplier: 2, jitter: 0.5, maxAttempts: 20 };

const ctx = new Context();
const serve = (port: number) =>
  ctx.listen({ hostname: "127.0.0.1", port, onMessage: (conn, data) => conn.send(data) });

let listener = serve(0);
const { url, port } = listener;
let failures = 0;

async function connect(): Promise<Connection> {
  return await retry(async () => {
    const conn = ctx.connect(url, { onError: () => {} });
    try {
      await conn.opened;
      return conn;
    } catch (error) {
      // The server of this example is back in time for the fourth attempt.
      if (++failures === 3) listener = serve(port);
      throw error;
    }
  }, BACK_OFF);
}

for (let round = 1; round <= 2; round++) {
  const conn = await connect();
  conn.send(`round ${round}`);
  console.log(`echo of ${await conn.receive()} after ${failures} failures`);
  failures = 0;
  if (round === 1) await listener.shutdown();
  else await ctx.shutdown();
  const { code } = await conn.closed;
  console.log(`lost with ${code}`);
}
