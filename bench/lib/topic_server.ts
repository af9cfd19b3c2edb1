// The server of the topic measurements, in a process of its own: `topic_server.ts --size 256 --every 10`. It subscribes
// every client. A client that sends "clog" gets more than the kernel holds. After "start" the server publishes every
// `--every` ms, with the time at the beginning of each message, and measures how late a timer of 1 ms fires. The answer to
// "stop" contains the delay.

import { parseArgs } from "node:util";
import { type Connection, Context } from "../../mod.ts";

const { values } = parseArgs({
  options: {
    size: { type: "string", default: "256" },
    every: { type: "string", default: "10" },
  },
});
const CLOG = 10 * 1024 * 1024;
const message = new Uint8Array(Number(values.size));
const clock = new DataView(message.buffer);
let late = 0, before = 0, messages = 0;
let timer: ReturnType<typeof setInterval>, publisher: ReturnType<typeof setInterval>;

const context = new Context();
const listener = context.listen({
  port: 0,
  hostname: "127.0.0.1",
  onConnect: (conn) => conn.subscribe("all"),
  onMessage: (conn, data) => commands[data as string](conn),
  onError: () => {},
});
console.log(`listening on ${listener.url}`);

const commands: Record<string, (conn: Connection) => void> = {
  clog(conn) {
    conn.send(new Uint8Array(CLOG));
    conn.subscribe("all");
  },
  start() {
    before = performance.now();
    timer = setInterval(() => {
      const now = performance.now();
      late = Math.max(late, now - before - 1);
      before = now;
    }, 1);
    publisher = setInterval(() => {
      clock.setFloat64(0, performance.timeOrigin + performance.now());
      context.publish("all", message);
      messages++;
    }, Number(values.every));
  },
  stop(conn) {
    clearInterval(timer);
    clearInterval(publisher);
    conn.send(JSON.stringify({ late, messages }));
  },
};
