// An echo server of ours with compression: deflate_sluice.ts '{"takeover":true,"level":6}'

import { Context } from "../../mod.ts";

const { takeover, level } = JSON.parse(Deno.args[0]);
const listener = new Context().listen({
  port: 0,
  hostname: "127.0.0.1",
  maxMessageSize: 64 << 20,
  maxQueueBytes: 0,
  keepAlive: false,
  compression: { threshold: 0, contextTakeover: takeover, level, memLevel: 8, windowBits: 15 },
  onMessage: (conn, data) => void conn.send(data),
});
console.log(`listening on ws://127.0.0.1:${listener.port}/`);
