import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Aedes } from "aedes";
import mqtt from "mqtt";
import { createWebSocketStream, WebSocketServer } from "ws";
import { assertOurs } from "./_ours.ts";

Deno.test({
  name: "mqtt and aedes: other clients receive published, large and retained messages",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    assertOurs("mqtt");
    const broker = await Aedes.createBroker();
    const http = createServer();
    const wss = new WebSocketServer({
      server: http,
      handleProtocols: (protocols: Set<string>) => protocols.has("mqtt") ? "mqtt" : false,
    });
    wss.on("connection", (socket: any, request: any) => {
      broker.handle(createWebSocketStream(socket) as never, request);
    });
    await once(http.listen(0, "127.0.0.1"), "listening");
    const url = `ws://127.0.0.1:${(http.address() as AddressInfo).port}/mqtt`;
    const [publisher, subscriber] = await Promise.all([1, 2].map(() => mqtt.connectAsync(url)));
    await subscriber.subscribeAsync("news/#", { qos: 1 });
    const received: [string, number][] = [];
    const all = new Promise<void>((resolve) =>
      subscriber.on("message", (topic, payload) => {
        received.push([topic, payload.length]);
        if (received.length === 202) resolve();
      })
    );
    const large = Buffer.alloc(300_000, 7);
    await publisher.publishAsync("news/large", large, { qos: 1 });
    for (let i = 0; i < 200; i++) {
      await publisher.publishAsync(`news/${i}`, Buffer.alloc(i), { qos: i % 3 as 0 });
    }
    await publisher.publishAsync("news/last", "kept", { qos: 2, retain: true });
    await all;
    const small = Array.from({ length: 200 }, (_, i): [string, number] => [`news/${i}`, i]);
    assertEquals(received, [["news/large", 300_000], ...small, ["news/last", 4]]);
    const late = await mqtt.connectAsync(url);
    const retained = new Promise<string>((resolve) =>
      late.on("message", (_, payload) => resolve(String(payload)))
    );
    await late.subscribeAsync("news/last");
    assertEquals(await retained, "kept");
    for (const client of [publisher, subscriber, late]) await client.endAsync();
    await new Promise<void>((resolve) => broker.close(() => resolve()));
    wss.close();
    http.close();
  },
});
