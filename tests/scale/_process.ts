// A server process with a Redis broker: `_process.ts REDIS_URL`. It prints its URL, and "gap" after each gap.
// Clients send JSON: { subscribe: [topic, …] } is answered "ready"; { publish: topic, name, from, to } publishes
// numbered messages.

import { Context } from "../../mod.ts";
import { RedisBroker } from "../../redis.ts";

const context = new Context({
  broker: new RedisBroker({ url: Deno.args[0] }),
  onBrokerGap: () => console.log("gap"),
  onBrokerError: () => {},
});
await context.ready;
const listener = context.listen({
  port: 0,
  hostname: "127.0.0.1",
  onMessage: async (conn, data) => {
    const { subscribe, publish, name, from, to } = JSON.parse(data as string);
    if (subscribe !== undefined) {
      for (const topic of subscribe) conn.subscribe(topic);
      await context.ready;
      conn.send("ready");
    } else {
      for (let i = from; i < to; i++) context.publish(publish, `${publish} ${name} ${i}`);
    }
  },
});
console.log(listener.url);
