/**
 * A client that comes back: after each loss it tries again, with a back-off that grows and jitters, so that a thousand
 * clients of one server don't return in step.
 *
 *     deno run --allow-net --allow-env examples/reconnect.ts
 *
 * @module
 */
import { ConnectionClosedError, Context } from "@sluice/websocket";

// In production: the defaults, from a quarter of a second to half a minute.
const BACK_OFF = { initial: 10, max: 200 };

const ctx = new Context();
const serve = (port: number) =>
  ctx.listen({ hostname: "127.0.0.1", port, onMessage: (conn, data) => conn.send(data) });

let listener = serve(0);
const { url, port } = listener;
let failures = 0;

const connections = ctx.reconnect(url, {
  backoff: BACK_OFF,
  onError: () => {},
  onRetry(error) {
    // A connection that ends throws here as well.
    if (error instanceof ConnectionClosedError) return;
    // The server of this example is back in time for the fourth attempt.
    if (++failures === 3) listener = serve(port);
  },
});

let round = 0;
for await (const conn of connections) {
  conn.send(`round ${++round}`);
  console.log(`echo of ${await conn.receive()} after ${failures} failures`);
  failures = 0;
  if (round === 1) await listener.shutdown();
  else await ctx.shutdown();
  const { code } = await conn.closed;
  console.log(`lost with ${code}`);
}
