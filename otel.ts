/**
 * The counters of a context as OpenTelemetry instruments. With Deno's own OpenTelemetry (`OTEL_DENO=true`) they are
 * exported with no more code.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 * import { instrument } from "@sluice/websocket/otel";
 *
 * await using ctx = new Context();
 * using metrics = instrument(ctx);
 * const listener = ctx.listen({ port: 0, ...metrics.handlers });
 * ```
 *
 * @module
 */
import { type Meter, metrics } from "@opentelemetry/api";
import type { CloseRecord, Connection, Context, ContextStats } from "./mod.ts";

/** Options of {@linkcode instrument}. */
export interface InstrumentOptions {
  /**
   * The name of the meter, which the global provider makes.
   *
   * @default {"@sluice/websocket"}
   */
  meterName?: string;
  /** Attributes of every measurement, such as the name of the server. */
  attributes?: Record<string, string | number | boolean>;
}

/** The instruments of a context. */
export interface Instruments<Data = unknown> extends Disposable {
  /**
   * Callbacks for `listen` and `connect` that measure what can't be read off the counters: how connections end, and
   * the round trip of their last ping. Where you have an `onClose` of your own, call this one from it.
   */
  readonly handlers: {
    onClose(conn: Connection<Data>, close: CloseRecord): void;
  };
  /** Stops observing. */
  [Symbol.dispose](): void;
}

/** A counter's name, its unit, what it counts, and where it is read. */
const COUNTERS: [name: string, unit: string, description: string, field: keyof ContextStats][] = [
  ["sluice.connections.opened", "{connection}", "Connections opened", "connections"],
  ["sluice.messages.sent", "{message}", "Messages accepted by send", "messagesSent"],
  ["sluice.messages.received", "{message}", "Messages received whole", "messagesReceived"],
  ["sluice.messages.dropped", "{message}", "Messages dropped by the queue policy", "dropped"],
  ["sluice.bytes.sent", "By", "Bytes taken by the system, framing included", "bytesSent"],
  ["sluice.bytes.received", "By", "Bytes received, framing included", "bytesReceived"],
  ["sluice.drains", "{drain}", "Times that a queue has drained", "drains"],
  ["sluice.pauses", "{pause}", "Calls of pause that paused", "pauses"],
];

const GAUGES: typeof COUNTERS = [
  ["sluice.connections.open", "{connection}", "Connections open or closing", "openConnections"],
  ["sluice.queue.bytes", "By", "Payload bytes that the system has not taken", "queuedBytes"],
  ["sluice.queue.high_water", "By", "The most that one queue has held", "queueHighWater"],
];

/**
 * Makes the instruments of a context: `sluice.connections.open` and `.opened`, `sluice.messages.sent`, `.received` and
 * `.dropped`, `sluice.bytes.sent` and `.received`, `sluice.queue.bytes` and `.high_water`, `sluice.drains`,
 * `sluice.pauses`; and, by the handlers, `sluice.closes` by close code and the histogram `sluice.round_trip`.
 *
 * @param ctx The context.
 * @param options The meter's name, and attributes.
 * @returns The handlers; dispose it to stop.
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
  const observe: Parameters<Meter["addBatchObservableCallback"]>[0] = (result) => {
    const stats = ctx.stats();
    for (const { instrument, field } of observed) {
      result.observe(instrument, stats[field], attributes);
    }
  };
  meter.addBatchObservableCallback(observe, instruments);
  const closes = meter.createCounter("sluice.closes", {
    unit: "{connection}",
    description: "Connections ended, by close code",
  });
  const roundTrip = meter.createHistogram("sluice.round_trip", {
    unit: "ms",
    description: "Round trip of the last ping of each connection, when it ends",
  });
  return {
    handlers: {
      onClose(conn, { code, initiator }) {
        closes.add(1, { ...attributes, code, initiator: initiator ?? "none" });
        const { lastRoundTrip } = conn.stats();
        if (lastRoundTrip !== null) roundTrip.record(lastRoundTrip, attributes);
      },
    },
    [Symbol.dispose]() {
      meter.removeBatchObservableCallback(observe, instruments);
    },
  };
}
