import type { Args, Spec } from "./args.ts";
import { thousands } from "./format.ts";
import { type Load, run, Tally } from "./load.ts";
import { CLIENT, OUTBOUND, outboundOptions, urlOf } from "./options.ts";
import type { Terminal } from "./terminal.ts";
import { EXIT, UsageError } from "./usage.ts";

/** The options of `sluice bench`. */
export const spec: Spec = {
  values: [
    ...CLIENT.values,
    ...OUTBOUND.values,
    "connections",
    "depth",
    "rate",
    "size",
    "seconds",
  ],
  lists: CLIENT.lists,
  flags: [...CLIENT.flags, "text", "json", "quiet"],
};

const WIDTH = 30;

/** Loads an echo server, and prints throughput and latency. */
export async function bench(args: Args, terminal: Terminal): Promise<number> {
  args.expect("URL");
  const count = { whole: true, least: 1 };
  const rate = args.value("rate") === undefined ? null : args.number("rate", 0);
  if (rate === 0) throw new UsageError("Option --rate must be above 0");
  if (rate !== null && args.value("depth") !== undefined) {
    throw new UsageError("Options --rate and --depth exclude each other");
  }
  const load: Load = {
    url: urlOf(args.positional[0]),
    connections: args.number("connections", 10, count),
    depth: rate === null ? args.number("depth", 16, count) : null,
    rate,
    size: args.number("size", 64, { whole: true }),
    seconds: args.number("seconds", 5),
    text: args.flag("text"),
    options: await outboundOptions(args),
  };
  if (load.seconds === 0) throw new UsageError("Option --seconds must be above 0");
  const json = args.flag("json");
  const tally = new Tally();
  const bar = json || terminal.quiet || !Deno.stderr.isTerminal()
    ? undefined
    : setInterval(() => progress(terminal, tally, load.seconds), 100);
  try {
    await run(load, tally, terminal.interrupted);
  } finally {
    clearInterval(bar);
    if (bar !== undefined) terminal.err.write(new TextEncoder().encode("\r\x1b[K"));
  }
  if (tally.start > 0) {
    if (json) terminal.event(asObject(load, tally));
    else for (const line of asText(load, tally)) terminal.print(line);
  }
  return terminal.isInterrupted ? EXIT.interrupted : EXIT.ok;
}

function progress(terminal: Terminal, tally: Tally, seconds: number): void {
  if (tally.start === 0) return;
  const done = Math.min(1, tally.seconds / seconds), full = Math.round(done * WIDTH);
  const bar = "█".repeat(full) + "░".repeat(WIDTH - full);
  const rate = thousands(tally.latency.count / tally.seconds);
  terminal.err.write(
    new TextEncoder().encode(`\r\x1b[K${bar} ${Math.round(done * 100)} %  ${rate} messages/s`),
  );
}

function asText(load: Load, tally: Tally): string[] {
  const { connections, depth, rate, size } = load;
  const { latency, seconds, missing } = tally;
  const measured = (latency.count - missing) / seconds;
  const ms = (value: number) => `${value < 10 ? value.toFixed(3) : value.toFixed(1)} ms`;
  const at = (share: number) => ms(latency.percentile(share));
  const what = depth === null
    ? `${thousands(rate!)} messages/s asked for`
    : `${depth} in flight each`;
  const lines = [
    `${load.url}: ${connections} connections, ${what}, ${size} bytes, ${seconds.toFixed(1)} s`,
    `throughput  ${thousands(measured)} messages/s, ${
      (measured * size / 1e6).toFixed(1)
    } MB/s each way`,
    `latency     p50 ${at(0.5)}  p90 ${at(0.9)}  p99 ${at(0.99)}  p99.9 ${at(0.999)}  max ${
      ms(latency.max)
    }`,
  ];
  if (missing > 0) {
    lines.push(
      `            ${thousands(missing)} had not come back; they count with the time until the end`,
    );
  }
  return [...lines, ...histogram(tally)];
}

/** Prints a line per power of two: the range, the share, and a bar relative to the largest share. */
function histogram({ latency }: Tally): string[] {
  const rows = latency.octaves();
  const most = Math.max(...rows.map(({ share }) => share));
  const ms = (value: number) => (value < 1 ? value.toFixed(3) : value.toPrecision(3)).padStart(6);
  return rows.map(({ upTo, share }) => {
    const range = `${ms(upTo / 2)} to ${ms(upTo)} ms`;
    const percent = `${(share * 100).toFixed(share < 0.001 && share > 0 ? 3 : 1)} %`.padStart(8);
    return `${range} ${percent}  ${"█".repeat(Math.ceil(share / most * WIDTH))}`.trimEnd();
  });
}

function asObject(load: Load, { latency, seconds, missing }: Tally): Record<string, unknown> {
  const { url, connections, depth, rate, size, text } = load;
  const measured = (latency.count - missing) / seconds;
  return {
    url,
    connections,
    ...(depth === null ? { rate } : { depth }),
    size,
    type: text ? "text" : "binary",
    seconds,
    messages: latency.count - missing,
    missing,
    messagesPerSecond: measured,
    bytesPerSecond: measured * size,
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
