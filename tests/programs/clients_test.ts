import { assertEquals } from "@std/assert";
import { Centrifuge } from "centrifuge";
import { WebSocketProvider } from "ethers";
import { Socket } from "phoenix";
import { Context } from "../../mod.ts";
import { WebSocket as Standard } from "../../websocket.ts";
import { assertOurs, called } from "./_ours.ts";

// Clients of services, against small servers on this library that answer like the service.

const quiet = { sanitizeOps: false, sanitizeResources: false };

Deno.test({
  ...quiet,
  name: "phoenix joins a channel, pushes a message and gets the answer",
  async fn() {
    await using ctx = new Context();
    const listener = ctx.listen({
      hostname: "127.0.0.1",
      onMessage(conn, data) {
        const [joinRef, ref, topic, event, payload] = JSON.parse(String(data));
        const response = event === "shout" ? { text: payload.text.toUpperCase() } : {};
        conn.send(
          JSON.stringify([joinRef, ref, topic, "phx_reply", { status: "ok", response }]),
        );
        if (event === "shout") {
          conn.send(JSON.stringify([joinRef, null, topic, "heard", { by: "all" }]));
        }
      },
    });
    const socket = new Socket(`${listener.url}socket`, { transport: Standard as never });
    socket.connect();
    const channel = socket.channel("room:1", {});
    await called((done) => channel.join().receive("ok", done));
    const heard = called<any>((done) => channel.on("heard", done));
    const answer = await called<any>((done) =>
      channel.push("shout", { text: "hello" }).receive("ok", done)
    );
    assertEquals([answer, await heard], [{ text: "HELLO" }, { by: "all" }]);
    await called((done) => socket.disconnect(() => done(null)));
  },
});

Deno.test({
  ...quiet,
  name: "centrifuge connects, subscribes and gets publications",
  async fn() {
    await using ctx = new Context();
    const listener = ctx.listen({
      hostname: "127.0.0.1",
      onMessage(conn, data) {
        for (const line of String(data).split("\n")) {
          const { id, connect, subscribe, publish } = JSON.parse(line);
          if (connect) conn.send(JSON.stringify({ id, connect: { client: "c", version: "0" } }));
          if (subscribe) conn.send(JSON.stringify({ id, subscribe: {} }));
          if (publish) {
            const { channel, data } = publish;
            conn.send(JSON.stringify({ push: { channel, pub: { data } } }));
            conn.send(JSON.stringify({ id, publish: {} }));
          }
        }
      },
    });
    const client = new Centrifuge(listener.url, { websocket: Standard });
    const connected = called<any>((done) => client.on("connected", done));
    client.connect();
    assertEquals((await connected).client, "c");
    const subscription = client.newSubscription("news");
    const subscribed = called((done) => subscription.on("subscribed", done));
    const publication = called<any>((done) => subscription.on("publication", done));
    subscription.subscribe();
    await subscribed;
    await subscription.publish({ n: 1 });
    assertEquals((await publication).data, { n: 1 });
    const gone = called((done) => client.on("disconnected", done));
    client.disconnect();
    await gone;
  },
});

Deno.test({
  ...quiet,
  name: "the WebSocketProvider of ethers sends requests and gets new blocks",
  async fn() {
    // The package requires one exact version of `ws`.
    assertOurs("ethers");
    await using ctx = new Context();
    const listener = ctx.listen({
      hostname: "127.0.0.1",
      onMessage(conn, data) {
        const { id, method } = JSON.parse(String(data));
        const results: Record<string, unknown> = {
          eth_chainId: "0x1",
          eth_blockNumber: "0x2a",
          eth_subscribe: "0x99",
          eth_unsubscribe: true,
          eth_getBalance: "0xde0b6b3a7640000",
        };
        conn.send(JSON.stringify({ jsonrpc: "2.0", id, result: results[method] ?? null }));
        if (method !== "eth_subscribe") return;
        conn.send(JSON.stringify({
          jsonrpc: "2.0",
          method: "eth_subscription",
          params: { subscription: "0x99", result: { number: "0x2b" } },
        }));
      },
    });
    const provider = new WebSocketProvider(new Standard(listener.url) as never);
    assertEquals(await provider.getBlockNumber(), 42);
    assertEquals(await provider.getBalance("0x" + "11".repeat(20)), 10n ** 18n);
    assertEquals(await called<number>((done) => void provider.on("block", done)), 43);
    await provider.destroy();
  },
});
