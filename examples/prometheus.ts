/**
 * Serves the counters as a page in Prometheus' text format, on the port of the WebSocket itself.
 *
 *     deno run --allow-net examples/prometheus.ts [--port N] [--hostname H]
 *
 * Try it: `sluice connect ws://127.0.0.1:8080` for something to count, and `curl http://127.0.0.1:8080/metrics`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { Context, type ContextStats } from "@sluice/websocket";

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "hostname": { type: "string", default: "127.0.0.1" },
    "port": { type: "string", default: "8080" },
  },
});

const METRICS: [name: string, type: "counter" | "gauge", help: string, key: keyof ContextStats][] =
  [
    ["sluice_connections_open", "gauge", "Connections open or closing", "openConnections"],
    ["sluice_connections_total", "counter", "Connections opened", "connections"],
    ["sluice_messages_sent_total", "counter", "Messages accepted by send", "messagesSent"],
    ["sluice_messages_received_total", "counter", "Messages received whole", "messagesReceived"],
    ["sluice_messages_dropped_total", "counter", "Messages dropped by the policy", "dropped"],
    ["sluice_sent_bytes_total", "counter", "Bytes taken by the kernel", "bytesSent"],
    ["sluice_received_bytes_total", "counter", "Bytes received", "bytesReceived"],
    ["sluice_queue_bytes", "gauge", "Payload bytes not yet taken by the kernel", "queuedBytes"],
    ["sluice_queue_high_water_bytes", "gauge", "The most in one queue", "queueHighWater"],
    ["sluice_drains_total", "counter", "Times that a queue has drained", "drains"],
    ["sluice_pauses_total", "counter", "Calls of pause that paused", "pauses"],
  ];

const closes = new Map<string, number>();

/** Peers may choose any code from 3000 on: with a label for each they could create thousands of series. */
function groupOf(code: number): string {
  return code < 3000 ? String(code) : `${Math.floor(code / 1000)}xxx`;
}

function countClose(code: string): void {
  closes.set(code, (closes.get(code) ?? 0) + 1);
}

function page(stats: ContextStats): string {
  const lines = METRICS.flatMap(([name, type, help, key]) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    `${name} ${stats[key]}`,
  ]);
  lines.push("# HELP sluice_closes_total Connections ended, by close code");
  lines.push("# TYPE sluice_closes_total counter");
  for (const [code, count] of closes) lines.push(`sluice_closes_total{code="${code}"} ${count}`);
  return lines.join("\n") + "\n";
}

const ctx = new Context();
const listener = ctx.listen({
  hostname: args.hostname,
  port: Number(args.port),
  onMessage: (conn, data) => conn.send(data),
  onClose: (_, { code }) => countClose(groupOf(code)),
  handler(request) {
    if (new URL(request.url).pathname !== "/metrics") return new Response(null, { status: 404 });
    return new Response(page(ctx.stats()), {
      headers: { "content-type": "text/plain; version=0.0.4" },
    });
  },
});
console.log(`listening on ${listener.url}`);
