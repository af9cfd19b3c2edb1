/**
 * An echo server with backpressure: it stops reading from a peer that doesn't read its echoes.
 *
 *     deno run --allow-net examples/echo_server.ts [--port N] [--hostname H] [--compression]
 *
 * Try it: start it with `--port 8080`, then `sluice connect ws://127.0.0.1:8080`, or
 * `sluice bench ws://127.0.0.1:8080`. With `--sockets system`, and `--allow-ffi`, its sockets are the kernel's own.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { Context } from "@sluice/websocket";
import { systemSockets } from "@sluice/websocket/system";

const LARGEST = 64 * 1024 * 1024;

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "hostname": { type: "string", default: "127.0.0.1" },
    "port": { type: "string", default: "0" },
    "compression": { type: "boolean", default: false },
    "sockets": { type: "string", default: "deno" },
  },
});

const ctx = new Context({ sockets: args.sockets === "system" ? systemSockets() : undefined });
const listener = ctx.listen({
  hostname: args.hostname,
  port: Number(args.port),
  maxMessageSize: LARGEST,
  compression: args.compression,
  // Room for one echo of the largest size on top of the high-water mark.
  maxQueueBytes: 2 * LARGEST,
  onMessage(conn, data) {
    // A message that was held may be delivered after the peer has closed, when an echo can't be sent any more.
    if (conn.state === "open" && !conn.send(data)) conn.pause();
  },
  onDrain(conn) {
    conn.resume();
  },
});
console.log(`listening on ws://${listener.hostname}:${listener.port}/`);
