/**
 * A client that keeps its subscriptions: the server forgets them with the connection, so each new connection asks for
 * all of them again, including those that were added since.
 *
 *     deno run --allow-net --allow-env examples/resubscribe.ts
 *
 * @module
 */
import { type Connection, Context } from "@sluice/websocket";

// ---- The server: a connection subscribes to the topics that it names, and gets their messages. -------------------

const service = new Context();
const serve = (port: number) =>
  service.listen({
    hostname: "127.0.0.1",
    port,
    onMessage(conn, topic) {
      if (typeof topic !== "string") return conn.close(1003);
      conn.subscribe(topic);
      conn.send(`subscribed to ${topic}`);
    },
  });
let listener = serve(0);
const { url, port } = listener;

// ---- The client ----------------------------------------------------------------------------------------------------

const ctx = new Context();

/** Topics that outlive connections. */
class Subscriptions {
  readonly #topics = new Set<string>();
  #conn: Connection | null = null;

  add(topic: string): void {
    if (this.#topics.has(topic)) return;
    this.#topics.add(topic);
    // Without a connection, the next one subscribes.
    if (this.#conn?.state === "open") this.#conn.send(topic);
  }

  /** Subscribes again, on a connection that has just opened. */
  resume(conn: Connection): void {
    this.#conn = conn;
    for (const topic of this.#topics) conn.send(topic);
  }
}

const subscriptions = new Subscriptions();
subscriptions.add("news");
const connections = ctx.reconnect(url, { backoff: { initial: 10, max: 200 }, onError: () => {} });
let lost = 0;
for await (const conn of connections) {
  console.log(`connected, ${lost} times lost`);
  subscriptions.resume(conn);
  if (lost === 0) subscriptions.add("weather");
  let heard = 0;
  for await (const message of conn) {
    console.log(message);
    if (message === "subscribed to weather") {
      service.publish("news", `news ${lost + 1}`);
      service.publish("weather", `weather ${lost + 1}`);
    }
    if (!`${message}`.startsWith("subscribed")) heard++;
    if (heard < 2) continue;
    if (lost === 1) await ctx.shutdown();
    // The server restarts, and forgets everything.
    else await listener.shutdown();
  }
  if (++lost === 1) listener = serve(port);
}
await service.shutdown();
console.log("done");
