// An echo server that prints its port. It is run with few descriptors.
import { Context } from "../../../mod.ts";

const ctx = new Context();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  onMessage: (conn, data) => void conn.send(data),
  onHandshakeError: () => {},
  handler: Deno.args.includes("http") ? () => new Response("page") : undefined,
});
console.log(listener.port);
