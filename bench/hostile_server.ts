// The server of hostile.ts: echoes with backpressure; prints its port. Its options come as JSON.
import { Context } from "../mod.ts";

const ctx = new Context();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  onMessage: (conn, data) => {
    if (!conn.send(data)) conn.pause();
  },
  onDrain: (conn) => conn.resume(),
  onError: () => {},
  onHandshakeError: () => {},
  ...JSON.parse(Deno.args[0]),
});
console.log(listener.port);
