/**
 * The counters of a context as OpenTelemetry instruments, and a span for each handshake and each connection. Deno's own
 * OpenTelemetry (`OTEL_DENO=true`) exports them without further code.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 * import { instrument } from "@sluice/websocket/otel";
 *
 * await using ctx = new Context();
 * using metrics = instrument(ctx);
 * const listener = ctx.listen({ hostname: "127.0.0.1", ...metrics.handlers });
 * ```
 *
 * @module
 */
import {
  type Attributes,
  context,
  type Meter,
  metrics,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import type { CloseRecord, Connection, Context, ContextStats } from "./mod.ts";
import { observe } from "./src/context.ts";
import type { Observer, RefusedHandshake } from "./src/context/observer.ts";

/**
 * Options of {@linkcode instrument}.
 *
 * @see {@linkcode instrument}
 */
export interface InstrumentOptions {
  /**
   * The name of the meter and of the tracer, which come from the global providers.
   *
   * @default {"@sluice/websocket"}
   */
  meterName?: string;
  /** Attributes of every measurement and span, such as the name of the server. */
  attributes?: Record<string, string | number | boolean>;
}

/**
 * The span of a connection: the members of the API's `Span` that an application needs.
 *
 * @see {@linkcode instrument}
 */
export interface ConnectionSpan {
  /** The identity of the span. `trace.setSpanContext(context, span.spanContext())` makes it the parent of others. */
  spanContext(): { traceId: string; spanId: string; traceFlags: number };
  /** Sets an attribute. */
  setAttribute(key: string, value: string | number | boolean): this;
  /** Adds an event. */
  addEvent(name: string, attributes?: Record<string, string | number | boolean>): this;
}

/**
 * The instruments of a context.
 *
 * @see {@linkcode instrument}
 */
export interface Instruments<Data = unknown> extends Disposable {
  /**
   * Callbacks for `listen` and `connect`, for measurements that aren't counters: how connections end, and the round trip of
   * their last ping. If you have your own `onClose`, call this one from it.
   */
  readonly handlers: {
    onClose(conn: Connection<Data>, close: CloseRecord): void;
  };
  /**
   * Returns the span of a connection, as the parent of your own spans.
   *
   * @param conn A connection of the context.
   * @returns The span of the open connection, or before that of a client's handshake; `undefined` after the end, and if
   * tracing is off.
   */
  spanOf(conn: Connection<Data>): ConnectionSpan | undefined;
  /** Stops observing. */
  [Symbol.dispose](): void;
}

/** The name, the unit and the description of each counter, and its field in `ContextStats`. */
const COUNTERS: [name: string, unit: string, description: string, field: keyof ContextStats][] = [
  ["sluice.connections.opened", "{connection}", "Connections opened", "connections"],
  ["sluice.messages.sent", "{message}", "Messages accepted by send", "messagesSent"],
  ["sluice.messages.received", "{message}", "Messages received whole", "messagesReceived"],
  ["sluice.messages.dropped", "{message}", "Messages dropped by the queue policy", "dropped"],
  ["sluice.bytes.sent", "By", "Bytes taken by the kernel, framing included", "bytesSent"],
  ["sluice.bytes.received", "By", "Bytes received, framing included", "bytesReceived"],
  ["sluice.drains", "{drain}", "Times that a queue has drained", "drains"],
  ["sluice.pauses", "{pause}", "Calls of pause that paused", "pauses"],
];

const GAUGES: typeof COUNTERS = [
  ["sluice.connections.open", "{connection}", "Connections open or closing", "openConnections"],
  ["sluice.queue.bytes", "By", "Payload bytes that the kernel has not taken", "queuedBytes"],
  ["sluice.queue.high_water", "By", "The most that one queue has held", "queueHighWater"],
];

/**
 * Makes the instruments of a context: `sluice.connections.open` and `.opened`, `sluice.messages.sent`, `.received` and
 * `.dropped`, `sluice.bytes.sent` and `.received`, `sluice.queue.bytes` and `.high_water`, `sluice.drains`,
 * `sluice.pauses`. The handlers add `sluice.closes` by close code and the histogram `sluice.round_trip`. Codes that a peer may
 * choose freely are grouped as `3xxx` and `4xxx`, so that a peer can't make more than a few series.
 *
 * If tracing is on, each handshake of the context is a span `websocket handshake`, and each connection is a span
 * `websocket connection` below it. A client sends the `traceparent` of its handshake, and a server uses the received one
 * as the parent.
 *
 * @param ctx The context.
 * @param options The names of meter and tracer, and attributes.
 * @returns The handlers; dispose it to stop.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 * import { instrument } from "@sluice/websocket/otel";
 *
 * await using ctx = new Context();
 * using metrics = instrument(ctx, { attributes: { server: "chat" } });
 * const listener = ctx.listen({ hostname: "127.0.0.1", ...metrics.handlers });
 * await ctx.connect(listener.url).opened;
 * ```
 */
export function instrument<Data = unknown>(
  ctx: Context<Data>,
  options: InstrumentOptions = {},
): Instruments<Data> {
  const { meterName = "@sluice/websocket", attributes = {} } = options;
  const meter = metrics.getMeter(meterName);
  const observed = [
    ...COUNTERS.map(([name, unit, description, field]) => ({
      instrument: meter.createObservableCounter(name, { unit, description }),
      field,
    })),
    ...GAUGES.map(([name, unit, description, field]) => ({
      instrument: meter.createObservableGauge(name, { unit, description }),
      field,
    })),
  ];
  const instruments = observed.map(({ instrument }) => instrument);
  const collect: Parameters<Meter["addBatchObservableCallback"]>[0] = (result) => {
    const stats = ctx.stats();
    for (const { instrument, field } of observed) {
      result.observe(instrument, stats[field], attributes);
    }
  };
  meter.addBatchObservableCallback(collect, instruments);
  const closes = meter.createCounter("sluice.closes", {
    unit: "{connection}",
    description: "Connections ended, by close code",
  });
  const roundTrip = meter.createHistogram("sluice.round_trip", {
    unit: "ms",
    description: "Round trip of the last ping of each connection, when it ends",
  });
  const spans = new Spans(trace.getTracer(meterName), attributes);
  const unobserve = observe(ctx, spans);
  return {
    spanOf: (conn) => spans.of(conn as Connection),
    handlers: {
      onClose(conn, { code, initiator }) {
        closes.add(1, { ...attributes, code: groupOf(code), initiator: initiator ?? "none" });
        const { lastRoundTrip } = conn.stats();
        if (lastRoundTrip !== null) roundTrip.record(lastRoundTrip, attributes);
      },
    },
    [Symbol.dispose]() {
      unobserve();
      meter.removeBatchObservableCallback(collect, instruments);
    },
  };
}

/** The label of a close code. Those from 3000 on are grouped: a peer can choose them freely, and each would make a series. */
function groupOf(code: number): string {
  if (code >= 1000 && code <= 1015) return String(code);
  return code >= 3000 && code <= 4999 ? `${Math.floor(code / 1000)}xxx` : "other";
}

const HANDSHAKE = "websocket handshake";
const CONNECTION = "websocket connection";

/** Reads the `traceparent` of a request. */
const REQUEST: TextMapGetter<Pick<RefusedHandshake, "fields">> = {
  keys: () => [],
  get: ({ fields }, name) => fields?.get(name) ?? undefined,
};

/**
 * Makes a span for each handshake and each connection. If tracing is off, the API's no-op tracer is called, no header is
 * read and nothing is kept.
 */
class Spans implements Observer {
  readonly #tracer: Tracer;
  readonly #attributes: Attributes;
  /** The span of each connection: first that of the handshake, then its own. */
  readonly #spans = new WeakMap<Connection, Span>();

  constructor(tracer: Tracer, attributes: Attributes) {
    this.#tracer = tracer;
    this.#attributes = attributes;
  }

  of(conn: Connection): Span | undefined {
    return this.#spans.get(conn);
  }

  connecting(conn: Connection): Record<string, string> {
    const { protocol, hostname, port, pathname } = new URL(conn.url);
    const secure = protocol === "wss:";
    const span = this.#tracer.startSpan(HANDSHAKE, {
      kind: SpanKind.CLIENT,
      attributes: {
        ...this.#attributes,
        "server.address": hostname,
        "server.port": port === "" ? (secure ? 443 : 80) : Number(port),
        "url.scheme": protocol.slice(0, -1),
        "url.path": pathname,
      },
    });
    if (span.isRecording()) this.#spans.set(conn, span);
    const fields: Record<string, string> = {};
    propagation.inject(trace.setSpan(context.active(), span), fields);
    return fields;
  }

  opened(conn: Connection, began: number): void {
    const now = time(performance.now());
    let handshake = this.#spans.get(conn);
    if (handshake === undefined) {
      // A getter, so that the request is made only if a propagator reads it.
      const request = {
        get fields() {
          return conn.request?.headers ?? null;
        },
      };
      const parent = propagation.extract(ROOT_CONTEXT, request, REQUEST);
      const kind = conn.role === "server" ? SpanKind.SERVER : SpanKind.CLIENT;
      handshake = this.#tracer.startSpan(HANDSHAKE, { kind, startTime: time(began) }, parent);
      if (!handshake.isRecording()) return;
      handshake.setAttributes({ ...this.#attributes, ...peerOf(conn.remoteAddress) });
      handshake.setAttribute("url.path", new URL(conn.url).pathname);
    }
    handshake.setAttribute("http.response.status_code", 101).end(now);
    const below = trace.setSpan(ROOT_CONTEXT, handshake);
    const span = this.#tracer.startSpan(
      CONNECTION,
      { kind: SpanKind.INTERNAL, startTime: now, attributes: this.#attributes },
      below,
    );
    this.#spans.set(conn, span);
  }

  closed(conn: Connection, { code, initiator, wasClean, cause }: CloseRecord): void {
    const span = this.#spans.get(conn);
    if (span === undefined) return;
    this.#spans.delete(conn);
    const stats = conn.stats();
    span.setAttributes({
      "sluice.close.code": code,
      "sluice.close.initiator": initiator ?? "none",
      "sluice.messages.sent": stats.messagesSent,
      "sluice.messages.received": stats.messagesReceived,
      "sluice.bytes.sent": stats.bytesSent,
      "sluice.bytes.received": stats.bytesReceived,
    });
    if (stats.lastRoundTrip !== null) span.setAttribute("sluice.round_trip", stats.lastRoundTrip);
    if (!wasClean && cause !== undefined) fail(span, cause);
    span.end();
  }

  refused({ error, info, fields }: RefusedHandshake, began: number): void {
    const parent = propagation.extract(ROOT_CONTEXT, { fields }, REQUEST);
    const options = { kind: SpanKind.SERVER, startTime: time(began) };
    const span = this.#tracer.startSpan(HANDSHAKE, options, parent);
    if (!span.isRecording()) return;
    span.setAttributes({ ...this.#attributes, ...peerOf(info.remoteAddr) });
    fail(span, error);
    span.end();
  }
}

/** Converts a reading of `performance.now()` to ms since 1970. */
function time(reading: number): number {
  return performance.timeOrigin + reading;
}

function peerOf(address: Deno.Addr | null): Attributes {
  if (address === null || !("hostname" in address)) return {};
  return { "client.address": address.hostname, "client.port": address.port };
}

function fail(span: Span, error: unknown): void {
  const name = error instanceof Error ? error.name : typeof error;
  span.setAttribute("error.type", name);
  span.setStatus({ code: SpanStatusCode.ERROR, message: String(error) });
}
