import { assert, assertEquals } from "@std/assert";
import * as otel from "@opentelemetry/api";
import { Context } from "../../mod.ts";
import { instrument } from "../../otel.ts";
import { deno, run as runProgram } from "../support/child.ts";
import { exampleArgs } from "../support/example.ts";
import { until } from "../support/until.ts";
import { mayFail } from "../support/failure.ts";

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

interface CollectedSpan {
  name: string;
  kind: number;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  status?: { code?: number; message?: string };
  attributes: { key: string; value: Record<string, unknown> }[];
}

Deno.test("otel: handshakes and connections are spans, and traceparent is sent and received", async () => {
  const spans: CollectedSpan[] = [];
  const collector = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const body = await request.json();
      for (const { scopeSpans } of body.resourceSpans ?? []) {
        for (const { scope, spans: some } of scopeSpans) {
          if (scope?.name === "@sluice/websocket" || scope?.name === "program") spans.push(...some);
        }
      }
      return Response.json({});
    },
  );
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", new URL("programs/spans.ts", import.meta.url).pathname],
    env: {
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.addr.port}`,
      OTEL_BSP_SCHEDULE_DELAY: "100",
    },
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  try {
    // Two connections have four spans each, a refusal has two, and the program has one.
    await until(() => spans.length >= 11, "all spans are exported");
    await child.stdin.close();
    const lines = (await child.stdout.text()).trimEnd().split("\n");
    const attribute = ({ attributes }: CollectedSpan, name: string) => {
      const found = attributes.find(({ key }) => key === name);
      return found === undefined ? undefined : String(Object.values(found.value)[0]);
    };
    const SERVER = 2, CLIENT = 3;
    const find = (name: string, kind: number, path: string) =>
      spans.find((span) =>
        span.name === name && span.kind === kind && attribute(span, "url.path") === path
      )!;
    const below = (parent: CollectedSpan) => spans.filter((s) => s.parentSpanId === parent.spanId);

    const outer = spans.find(({ name }) => name === "outer")!;
    const client = find("websocket handshake", CLIENT, "/plain");
    const server = find("websocket handshake", SERVER, "/plain");
    assertEquals([client.traceId, client.parentSpanId], [outer.traceId, outer.spanId]);
    assertEquals([server.traceId, server.parentSpanId], [client.traceId, client.spanId]);
    assertEquals(lines[0].split(" ")[2], `00-${client.traceId}-${client.spanId}-01`);
    const own = below(client).find(({ name }) => name === "websocket connection")!;
    assertEquals(
      lines[0].split(" ")[3],
      own.spanId,
      "spanOf must return the span of the connection",
    );
    const connection = below(server)[0];
    assertEquals(connection.name, "websocket connection");
    assertEquals(attribute(connection, "sluice.close.code"), "3001");
    assertEquals(attribute(connection, "sluice.close.initiator"), "remote");
    assertEquals(attribute(connection, "sluice.messages.received"), "1");
    assertEquals(attribute(server, "client.address"), "127.0.0.1");
    assertEquals(attribute(server, "server"), "test");

    const foreign = find("websocket handshake", SERVER, "/foreign");
    assertEquals([foreign.traceId, foreign.parentSpanId], ["1".repeat(32), "2".repeat(16)]);
    assert(lines[1].includes(foreign.traceId), "the header of the application must win");

    const failed = spans.filter(({ status }) => status?.code === 2);
    assertEquals(failed.map(({ kind }) => kind).sort(), [SERVER, CLIENT]);
    const [theirs, ours] = failed.sort((a, b) => a.kind - b.kind);
    assertEquals(
      theirs.parentSpanId,
      ours.spanId,
      "the span of a refusal must belong to its request",
    );
    assert(ours.status!.message!.includes("403"), ours.status!.message);
    assert(!JSON.stringify(spans).includes("secret"), "no span may contain the query");
  } finally {
    await mayFail(child.stdin.close(), "the process may have ended");
    await child.status;
    await collector.shutdown();
  }
});

Deno.test("otel: without tracing no header is added, and no connection has a span", async () => {
  const { code, stdout, stderr } = await runProgram(
    new URL("programs/spans.ts", import.meta.url),
    "--once",
  );
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout.split("\n")[0], "plain?token=secret seen null none");
});

Deno.test("otel: closes with private codes of peers share a label", async () => {
  const { groups } = await labels();
  assertEquals(groups, new Set(["1000", "3xxx", "4xxx"]));
});

/** Closes with many codes; returns the labels that a provider of the test's own gets. */
async function labels(): Promise<{ groups: Set<unknown> }> {
  const groups = new Set<unknown>();
  const nothing = { record() {}, addCallback() {}, removeCallback() {} };
  const counter = {
    add(_: number, attributes?: Record<string, unknown>) {
      if (attributes !== undefined) groups.add(attributes.code);
    },
  };
  const meter = new Proxy({}, {
    get: (_, name) => name === "createCounter" ? () => counter : () => nothing,
  });
  // deno-lint-ignore no-explicit-any -- only what is used of a meter
  otel.metrics.setGlobalMeterProvider({ getMeter: () => meter as any });
  try {
    await using ctx = new Context();
    using metrics = instrument(ctx);
    const listener = ctx.listen({ hostname: "127.0.0.1", ...metrics.handlers });
    for (const code of [1000, 3000, 3001, 3999, 4000, 4444, 4999]) {
      const conn = ctx.connect(listener.url);
      await conn.opened;
      conn.close(code);
      await conn.closed;
    }
    await until(() => listener.connections.size === 0);
  } finally {
    otel.metrics.disable();
  }
  return { groups };
}

Deno.test("prometheus: the page has every counter, with the right values", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...exampleArgs("prometheus"), "--port", "0"],
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
    const other = ctx.connect(url);
    await other.opened;
    other.close(3999);
    await other.closed;
    let text = "";
    do {
      text = await (await fetch(url.replace("ws:", "http:") + "metrics")).text();
    } while (!text.includes('sluice_closes_total{code="3xxx"} 2'));
    assert(text.includes("# TYPE sluice_messages_sent_total counter\n"));
    assert(text.includes("\nsluice_messages_received_total 1\n"), text);
    assert(text.includes("\nsluice_connections_open 0\n"), text);
  } finally {
    child.kill();
    await reader.cancel();
    await child.status;
  }
});

Deno.test("otel: without an OpenTelemetry SDK the module has no effect", async () => {
  const { code, stderr } = await runProgram(
    new URL("programs/otel.ts", import.meta.url),
    "--once",
  );
  assertEquals([code, stderr], [0, ""]);
});

Deno.test("otel: an application whose SDK registered through an older minor of the API gets metrics", async () => {
  // As in another project: with its own configuration and without a lock file.
  const root = new URL("../../", import.meta.url);
  const { imports } = JSON.parse(await Deno.readTextFile(new URL("import_map.json", root)));
  const directory = await Deno.makeTempDir();
  try {
    const config = `${directory}/deno.json`;
    const api = "@opentelemetry/api";
    await Deno.writeTextFile(config, JSON.stringify({ imports: { [api]: imports[api] } }));
    const program = new URL("programs/older_api.ts", import.meta.url).pathname;
    const flags = ["-A", "--no-check", "--no-lock", "--config", config];
    const { code, stdout, stderr } = await deno(["run", ...flags, program]);
    assertEquals(code, 0, stderr);
    const { names, closes } = JSON.parse(stdout);
    assert(names.includes("sluice.messages.sent") && names.includes("sluice.closes"), `${names}`);
    assertEquals(closes, 1);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
