// How late a timer of 10 ms gets at most while a message of 64 MiB is compressed, sent, received and
// inflated in this process: timer_probe.ts json|noise. Prints {"late","work"}: milliseconds, and the CPU
// time that this process has used at most between two ticks, beyond 10 ms.

import process from "node:process";
import { Context } from "../../mod.ts";
import { json, noise } from "./helpers.ts";

const LENGTH = 64 << 20;
const message = new Uint8Array(LENGTH);
const pattern = (Deno.args[0] === "json" ? json : noise)(1 << 20);
for (let at = 0; at < LENGTH; at += pattern.length) message.set(pattern, at);

await using ctx = new Context({ maxMessageSize: LENGTH, maxQueueBytes: 0, compression: true });
const arrived = Promise.withResolvers<number>();
const listener = ctx.listen({
  port: 0,
  onMessage: (_conn, data) => arrived.resolve(data.length),
});
const conn = ctx.connect(listener.url);
await conn.opened;
await new Promise((resolve) => setTimeout(resolve, 100));

let late = 0, work = 0, last = performance.now(), used = process.cpuUsage();
const timer = setInterval(() => {
  const now = performance.now(), { user, system } = process.cpuUsage(used);
  late = Math.max(late, now - last - 10);
  work = Math.max(work, (user + system) / 1000 - 10);
  last = now;
  used = process.cpuUsage();
}, 10);
conn.send(message, { transfer: true, compress: true });
if (await arrived.promise !== LENGTH) throw new Error("It came back shorter");
await new Promise((resolve) => setTimeout(resolve, 20));
clearInterval(timer);
console.log(JSON.stringify({ late, work }));
