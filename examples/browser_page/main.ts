/**
 * A page and its server on one port: prices by topic, and a page that subscribes, shows them, comes back after a loss,
 * and asks for its topics again. A page that doesn't keep up misses prices, and costs the server no memory.
 *
 *     deno run --allow-net --allow-read=. examples/browser_page/main.ts [--port N] [--hostname H]
 *
 * Try it: open the address that it prints; stop the server and start it again, and watch the page.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { Context } from "@sluice/websocket";

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "hostname": { type: "string", default: "127.0.0.1" },
    "port": { type: "string", default: "8080" },
  },
});

const page = await Deno.readTextFile(new URL("page.html", import.meta.url));
const prices = new Map([["apples", 1.2], ["pears", 1.5], ["plums", 2.1]]);
const price = (name: string) => JSON.stringify({ name, price: prices.get(name)!.toFixed(2) });

const ctx = new Context();
const listener = ctx.listen({
  hostname: args.hostname,
  port: Number(args.port),
  // Small messages: the page sends a few words at a time.
  maxMessageSize: 1024,
  // Browsers offer compression; messages of this size are sent uncompressed.
  compression: { contextTakeover: false },
  handler(request) {
    if (new URL(request.url).pathname !== "/") return new Response(null, { status: 404 });
    return new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } });
  },
  onConnect: (conn) => void conn.send(JSON.stringify({ names: [...prices.keys()] })),
  onMessage(conn, data) {
    const [verb, name] = String(data).split(" ");
    if (!prices.has(name)) return conn.close(1008, "no such price");
    if (verb === "unsubscribe") return void conn.unsubscribe(name);
    conn.subscribe(name);
    // The state first; later publications follow it.
    conn.send(price(name));
  },
});

setInterval(() => {
  for (const [name, last] of prices) {
    prices.set(name, Math.max(0.1, last + (Math.random() - 0.5) / 10));
    ctx.publish(name, price(name), { slow: "drop" });
  }
}, 500);

console.log(`open http://${listener.hostname}:${listener.port}/`);
Deno.addSignalListener("SIGINT", async () => {
  await ctx.shutdown();
  Deno.exit();
});
