// How late a timer of 10 ms gets while a message of 64 MiB is compressed, sent, received and inflated in
// this process: deflate_timers.ts json|zeros|noise [level]. Prints {"seconds","late","work"}: the last is the most CPU
// time in ms that this process has used between two ticks, beyond 10 ms, which other processes don't add to.

import process from "node:process";
import { Context } from "../mod.ts";
import { feed } from "./feed.mjs";

const LENGTH = 64 << 20;
const message = new Uint8Array(LENGTH);
if (Deno.args[0] === "json") {
  const [part] = feed(1 << 20, 1);
  for (let at = 0; at < LENGTH; at += part.length) message.set(part, at);
} else if (Deno.args[0] === "noise") {
  for (let at = 0; at < LENGTH; at += 65536) {
    crypto.getRandomValues(message.subarray(at, at + 65536));
  }
}
await using ctx = new Context({
  maxMessageSize: LENGTH,
  maxQueueBytes: 0,
  compression: { level: Number(Deno.args[1] ?? 4) },
});
const arrived = Promise.withResolvers<number>();
const listener = ctx.listen({ port: 0, onMessage: (_conn, data) => arrived.resolve(data.length) });
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
const start = performance.now();
conn.send(message, { transfer: true });
if (await arrived.promise !== LENGTH) throw new Error("It came back shorter");
const seconds = (performance.now() - start) / 1000;
await new Promise((resolve) => setTimeout(resolve, 20));
clearInterval(timer);
console.log(JSON.stringify({ seconds, late, work }));
