import { type Connection, Context, type ReceivedMessage } from "../mod.ts";
import { within } from "../src/util/timers.ts";
import type { Args, Spec } from "./args.ts";
import { LostError, typed } from "./failure.ts";
import { thousands } from "./format.ts";
import { Histogram } from "./histogram.ts";
import { CLIENT, type ClientOptions, clientOptions } from "./options.ts";
import type { Terminal } from "./terminal.ts";
import { EXIT, UsageError } from "./usage.ts";

/** The options of `sluice bench`. */
export const spec: Spec = {
  values: [...CLIENT.values, "connections", "depth", "size", "seconds"],
  lists: CLIENT.lists,
  flags: [...CLIENT.flags, "text", "json", "quiet"],
};

const WIDTH = 30;
const PATIENCE = 2000;

interface Load {
  readonly url: string;
  readonly connections: number;
  readonly depth: number;
  readonly size: number;
  readonly seconds: number;
  readonly text: boolean;
  readonly options: ClientOptions;
}

/** What all connections measure together; nothing is counted while they warm up. */
class Tally {
  readonly latency = new Histogram();
  readonly failed: Promise<never>;
  readonly fail: (error: unknown) => void;
  measuring = false;
  over = false;

  constructor() {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {});
    this.failed = promise;
    this.fail = reject;
  }
}

/** Loads an echo server, and prints throughput and latency. */
export async function bench(args: Args, terminal: Terminal): Promise<number> {
  args.expect("URL");
  const count = { whole: true, least: 1 };
  const load: Load = {
    url: args.positional[0],
    connections: args.number("connections", 10, count),
    depth: args.number("depth", 16, count),
    size: args.number("size", 64, { whole: true }),
    seconds: args.number("seconds", 5),
    text: args.flag("text"),
    options: await clientOptions(args),
  };
  if (load.seconds === 0) throw new UsageError("Option --seconds must be above 0");
  const json = args.flag("json");
  const tally = new Tally();
  const ctx = new Context();
  let elapsed: number | null;
  try {
    elapsed = await Promise.race([
      run(ctx, load, tally, json || terminal.quiet ? null : terminal),
      tally.failed,
      terminal.interrupted.then(() => null),
    ]);
  } finally {
    tally.over = true;
    await ctx.shutdown({ code: 1000, timeout: PATIENCE });
  }
  if (elapsed === null) return EXIT.interrupted;
  if (json) terminal.event(asObject(load, tally, elapsed));
  else for (const line of asText(load, tally, elapsed)) terminal.print(line);
  return EXIT.ok;
}

/** Returns how many seconds were measured. */
async function run(
  ctx: Context,
  load: Load,
  tally: Tally,
  terminal: Terminal | null,
): Promise<number> {
  const connections = typed(() =>
    Array.from({ length: load.connections }, () => open(ctx, load, tally))
  );
  await Promise.all(connections.map(({ conn }) => conn.opened));
  for (const connection of connections) connection.start();
  await pass(load.seconds * 100, tally);
  tally.measuring = true;
  const start = performance.now();
  const bar = terminal !== null && Deno.stderr.isTerminal()
    ? setInterval(() => progress(terminal, tally, performance.now() - start, load.seconds), 100)
    : undefined;
  try {
    await pass(load.seconds * 1000, tally);
    tally.measuring = false;
    return (performance.now() - start) / 1000;
  } finally {
    clearInterval(bar);
    if (bar !== undefined) terminal!.err.write(new TextEncoder().encode("\r\x1b[K"));
  }
}

/** Lets time pass; rejects as soon as something fails. */
async function pass(ms: number, { failed }: Tally): Promise<void> {
  if (await within(ms, failed)) await failed;
}

/** One connection that keeps `depth` messages in flight. Echoes come in order, so a ring of times is enough. */
function open(ctx: Context, load: Load, tally: Tally): { conn: Connection; start(): void } {
  const { size, depth, text } = load;
  const message = text ? "x".repeat(size) : new Uint8Array(size).fill(120);
  const sentAt = new Float64Array(depth);
  let next = 0;
  const conn = ctx.connect(load.url, {
    ...load.options,
    maxMessageSize: 0,
    maxQueueBytes: 0,
    payload: "view",
    onMessage(conn, data: ReceivedMessage) {
      if (tally.over) return;
      if (data.length !== size || typeof data !== typeof message) {
        const type = typeof data === "string" ? "text" : "binary";
        return tally.fail(
          new LostError(
            `The server is no echo: ${size} bytes came back as ${type} of ${data.length}`,
          ),
        );
      }
      const now = performance.now();
      if (tally.measuring) tally.latency.add(now - sentAt[next]);
      sentAt[next] = now;
      next = next + 1 === depth ? 0 : next + 1;
      if (conn.state === "open") conn.send(message);
    },
    onClose(_, close) {
      if (!tally.over) tally.fail(new LostError(`Connection lost: ${close}`));
    },
    onError(_, error) {
      if (!tally.over) tally.fail(error);
    },
  });
  return {
    conn,
    start() {
      sentAt.fill(performance.now());
      for (let i = 0; i < depth && conn.state === "open"; i++) conn.send(message);
    },
  };
}

function progress(terminal: Terminal, tally: Tally, ms: number, seconds: number): void {
  const done = Math.min(1, ms / 1000 / seconds), full = Math.round(done * WIDTH);
  const bar = "█".repeat(full) + "░".repeat(WIDTH - full);
  const rate = thousands(tally.latency.count / (ms / 1000));
  terminal.err.write(
    new TextEncoder().encode(`\r\x1b[K${bar} ${Math.round(done * 100)} %  ${rate} messages/s`),
  );
}

function asText(load: Load, { latency }: Tally, seconds: number): string[] {
  const { connections, depth, size } = load;
  const rate = latency.count / seconds;
  const ms = (value: number) => `${value < 10 ? value.toFixed(3) : value.toFixed(1)} ms`;
  const at = (share: number) => ms(latency.percentile(share));
  const rows = latency.octaves().map(({ upTo, share }) =>
    `  up to ${ms(upTo).padStart(10)}  ${`${(share * 100).toFixed(1)} %`.padStart(7)}  ${
      "█".repeat(Math.ceil(share * WIDTH))
    }`.trimEnd()
  );
  return [
    `${load.url}: ${connections} connections, ${depth} in flight each, ${size} bytes, ${
      seconds.toFixed(1)
    } s`,
    `throughput  ${thousands(rate)} messages/s, ${(rate * size / 1e6).toFixed(1)} MB/s each way`,
    `latency     p50 ${at(0.5)}  p90 ${at(0.9)}  p99 ${at(0.99)}  p99.9 ${at(0.999)}  max ${
      ms(latency.max)
    }`,
    ...rows,
  ];
}

function asObject(load: Load, { latency }: Tally, seconds: number): Record<string, unknown> {
  const { url, connections, depth, size, text } = load;
  const rate = latency.count / seconds;
  return {
    url,
    connections,
    depth,
    size,
    type: text ? "text" : "binary",
    seconds,
    messages: latency.count,
    messagesPerSecond: rate,
    bytesPerSecond: rate * size,
    latency: {
      p50: latency.percentile(0.5),
      p90: latency.percentile(0.9),
      p99: latency.percentile(0.99),
      p999: latency.percentile(0.999),
      max: latency.max,
    },
    histogram: latency.octaves(),
  };
}
