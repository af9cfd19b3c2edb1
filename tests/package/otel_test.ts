import { assert, assertEquals } from "@std/assert";
import { Context } from "../../mod.ts";
import { run as runProgram } from "../support/child.ts";
import { until } from "../support/until.ts";

Deno.test("otel: with OTEL_DENO=true the counters reach a collector", async () => {
  const seen = new Map<string, number>();
  const attributes = new Set<string>();
  // deno-lint-ignore no-explicit-any -- the exporter's JSON
  const note = (metric: any) => {
    const points = metric.sum?.dataPoints ?? metric.gauge?.dataPoints ??
      metric.histogram?.dataPoints;
    for (const point of points) {
      seen.set(metric.name, Number(point.asDouble ?? point.asInt ?? point.count));
      for (const { key, value } of point.attributes) {
        attributes.add(`${key}=${Object.values(value)[0]}`);
      }
    }
  };
  const collector = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const body = await request.json();
      for (const { scopeMetrics } of body.resourceMetrics ?? []) {
        for (const { metrics } of scopeMetrics) {
          for (const metric of metrics) if (metric.name.startsWith("sluice.")) note(metric);
        }
      }
      return Response.json({});
    },
  );
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", new URL("programs/otel.ts", import.meta.url).pathname],
    env: {
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.addr.port}`,
      OTEL_METRIC_EXPORT_INTERVAL: "100",
    },
    stdin: "piped",
    stdout: "null",
  }).spawn();
  try {
    await until(() => seen.has("sluice.closes") && (seen.get("sluice.messages.sent") ?? 0) >= 20);
    assertEquals(seen.get("sluice.connections.opened"), 2);
    assertEquals(seen.get("sluice.messages.received"), 20);
    assert(seen.get("sluice.bytes.received")! > 20);
    for (
      const name of ["sluice.connections.open", "sluice.queue.bytes", "sluice.queue.high_water"]
        .concat("sluice.drains", "sluice.pauses", "sluice.round_trip", "sluice.bytes.sent")
    ) assert(seen.has(name), `${name} is missing among ${[...seen.keys()]}`);
    assert(attributes.has("code=1000") && attributes.has("server=test"), [...attributes].join());
  } finally {
    await child.stdin.close();
    await child.status;
    await collector.shutdown();
  }
});

Deno.test("prometheus: the page has every counter, with the figures of the traffic", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-net", "--no-check", "examples/prometheus.ts", "--port", "0"],
    cwd: new URL("../../", import.meta.url),
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  try {
    const url = /ws:\S+/.exec((await reader.read()).value!)![0];
    await using ctx = new Context();
    const conn = ctx.connect(url);
    await conn.opened;
    conn.send("hello");
    await conn.receive();
    conn.close(3000);
    await conn.closed;
    let text = "";
    do {
      text = await (await fetch(url.replace("ws:", "http:") + "metrics")).text();
    } while (!text.includes('sluice_closes_total{code="3000"} 1'));
    assert(text.includes("# TYPE sluice_messages_sent_total counter\n"));
    assert(text.includes("\nsluice_messages_received_total 1\n"), text);
    assert(text.includes("\nsluice_connections_open 0\n"), text);
  } finally {
    child.kill();
    await reader.cancel();
    await child.status;
  }
});

Deno.test("otel: without an OpenTelemetry nothing happens", async () => {
  const { code, stderr } = await runProgram(
    new URL("programs/otel.ts", import.meta.url),
    "--once",
  );
  assertEquals([code, stderr], [0, ""]);
});
