/**
 * The live demo: a page with a chat and a dashboard of flow control, on one port.
 *
 *     deno task demo:live [--port N] [--hostname H] [--headless] [--seconds N]
 *
 * With `--headless` it runs for ten seconds without a page, prints the figures, and exits with 1 if a bound didn't hold.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type Connection, Context } from "@sluice/websocket";
import { Flow } from "./flow.ts";
import { files } from "./files.ts";
import {
  CHUNK,
  type FromPage,
  HIGH_WATER_MARK,
  LOW_WATER_MARK,
  REPORT_EVERY,
  type Sample,
  type Settings,
  type ToPage,
} from "./protocol.ts";

const MIB = 1024 * 1024;
const RATE = 32 * MIB;
const SLOWEST = 1 * MIB, FASTEST = 64 * MIB;
const HISTORY = 600;

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "hostname": { type: "string", default: "127.0.0.1" },
    "port": { type: "string", default: "8080" },
    "seconds": { type: "string", default: "10" },
    "headless": { type: "boolean", default: false },
  },
});

const settings: Settings = { speed: 8 * MIB, paused: false };
const history: Sample[] = [];
const mib = (bytes: number) => (bytes / MIB).toFixed(1).padStart(5);
const kib = (bytes: number) => Math.round(bytes / 1024);

const flows = new Context();
const sluice = new Flow(flows, "sluice", RATE, settings);
const native = new Flow(flows, "native", RATE, settings);
const [loaded] = await Promise.all([sluice.opened(), native.opened()]);

let roundTrip: number | null = null;
(async () => {
  while (loaded.state === "open") {
    const late = setTimeout(() => roundTrip = null, 5000);
    roundTrip = await loaded.ping().catch(() => null);
    clearTimeout(late);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
})();

const start = performance.now();
function takeSample(): Sample {
  const sample: Sample = {
    t: "sample",
    time: (performance.now() - start) / 1000,
    sluice: sluice.sample(),
    native: native.sample(),
    roundTrip,
  };
  history.push(sample);
  if (history.length > HISTORY) history.shift();
  return sample;
}

function line({ time, sluice: ours, native: theirs }: Sample): string {
  return `${Math.round(time)} s`.padStart(6) +
    `  made ${mib(ours.made)} MiB/s  taken ${mib(ours.taken)} MiB/s` +
    `  queue ${kib(ours.peak)} KiB  drains ${sluice.drains}` +
    `  memory ${mib(ours.rss)} MiB  native: queue ${mib(theirs.queue)} MiB, memory ${
      mib(theirs.rss)
    } MiB`;
}

/** Averages over the last second, so that a line isn't a snapshot. */
function lastSecond(): Sample {
  const recent = history.slice(-1000 / REPORT_EVERY), last = recent.at(-1)!;
  const mean = (pick: (sample: Sample) => number) =>
    recent.reduce((sum, sample) => sum + pick(sample), 0) / recent.length;
  return {
    ...last,
    sluice: {
      ...last.sluice,
      made: mean((sample) => sample.sluice.made),
      taken: mean((sample) => sample.sluice.taken),
      peak: Math.max(...recent.map((sample) => sample.sluice.peak)),
    },
  };
}

async function headless(seconds: number): Promise<boolean> {
  console.log(`a producer of ${RATE / MIB} MiB/s, a consumer of ${settings.speed / MIB} MiB/s`);
  const sampling = setInterval(takeSample, REPORT_EVERY);
  const printing = setInterval(() => console.log(line(lastSecond())), 1000);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  clearInterval(sampling);
  clearInterval(printing);
  const growth = sluice.mostRss - sluice.firstRss;
  const bounds: [string, boolean][] = [
    [
      `most bytes queued: ${sluice.highest} (limit ${HIGH_WATER_MARK + CHUNK})`,
      sluice.highest > 0 && sluice.highest <= HIGH_WATER_MARK + CHUNK,
    ],
    [`drains: ${sluice.drains}`, sluice.drains > 0],
    [`every message in order: ${sluice.gaps + native.gaps} gaps`, sluice.gaps + native.gaps === 0],
    [`memory grew by ${mib(growth).trim()} MiB (limit 48)`, growth <= 48 * MIB],
  ];
  for (const [what, holds] of bounds) console.log(`${holds ? "  ok  " : "FAILED"} ${what}`);
  console.log(
    `       for comparison, Deno's native WebSocket: most bytes queued ${native.highest}, ` +
      `memory grew by ${mib(native.mostRss - native.firstRss).trim()} MiB`,
  );
  return bounds.every(([, holds]) => holds);
}

interface Visitor {
  readonly name: string;
}

function serve(): void {
  const ctx = new Context<Visitor>({ compression: true });
  let visitors = 0;
  const listener = ctx.listen({
    hostname: args.hostname,
    port: Number(args.port),
    handler: files(),
    protocols: ["sluice-live", "sluice-echo"],
    onHandshake(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/live") return { data: { name: `visitor ${++visitors}` } };
      // What a browser's own WebSocket can do is tried here by the browser tests.
      return pathname === "/echo" ? { data: { name: "" } } : new Response(null, { status: 404 });
    },
    onConnect(conn) {
      if (conn.data.name === "") return;
      tell(conn, {
        t: "hello",
        name: conn.data.name,
        rate: RATE,
        high: HIGH_WATER_MARK,
        low: LOW_WATER_MARK,
        history,
      });
      tell(conn, { t: "settings", ...settings });
      tellAll({ t: "chat", name: "", text: `${conn.data.name} has joined` });
      tellAll({ t: "people", count: pages().length });
    },
    onMessage(conn, data) {
      if (conn.data.name !== "") return receive(conn, data);
      if (typeof data === "string" && data.startsWith("close ")) {
        conn.close(Number(data.slice(6)), "as asked");
      } else {
        conn.send(data);
      }
    },
    onClose(conn) {
      if (conn.data.name === "") return;
      tellAll({ t: "chat", name: "", text: `${conn.data.name} has left` });
      tellAll({ t: "people", count: pages().length });
    },
  });
  console.log(`open http://${listener.hostname}:${listener.port}/`);
  setInterval(() => tellAll(takeSample()), REPORT_EVERY);
  setInterval(() => console.log(line(lastSecond())), 1000);

  function pages(): Connection<Visitor>[] {
    return [...listener.connections].filter((conn) =>
      conn.data.name !== "" && conn.state === "open"
    );
  }

  function tell(conn: Connection<Visitor>, message: ToPage): void {
    conn.send(JSON.stringify(message));
  }

  /** A page that doesn't keep up misses something, instead of filling memory here. */
  function tellAll(message: ToPage): void {
    listener.broadcast(JSON.stringify(message), { to: pages(), slow: "drop" });
  }

  function receive(conn: Connection<Visitor>, data: string | Uint8Array): void {
    let message: FromPage;
    try {
      message = JSON.parse(String(data));
    } catch {
      return conn.close(1007, "JSON, please");
    }
    if (message.t === "say") {
      const text = String(message.text).slice(0, 500);
      if (text.trim() !== "") tellAll({ t: "chat", name: conn.data.name, text });
      return;
    }
    if (message.t === "speed") {
      settings.speed = Math.min(Math.max(Number(message.value) || SLOWEST, SLOWEST), FASTEST);
    } else if (message.t === "pause") {
      settings.paused = message.value === true;
    }
    sluice.adjust();
    native.adjust();
    tellAll({ t: "settings", ...settings });
  }
}

if (args.headless) {
  const held = await headless(Number(args.seconds));
  await Promise.all([sluice[Symbol.asyncDispose](), native[Symbol.asyncDispose]()]);
  Deno.exit(held ? 0 : 1);
}
try {
  serve();
} catch (error) {
  if (!(error instanceof Deno.errors.AddrInUse)) throw error;
  console.error(`Port ${args.port} is taken: give another one with --port`);
  Deno.exit(1);
}
