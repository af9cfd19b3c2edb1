/**
 * The live demo: a page with the memory of two servers whose consumer is slow, and a dashboard of flow control, on one
 * port.
 *
 *     deno task demo:live [--port N] [--hostname H] [--headless] [--seconds N]
 *     deno run -A examples/live/main.ts --sockets system
 *
 * With `--headless` it runs for ten seconds without a page, prints the figures, and exits with 1 if a bound didn't hold.
 * With `--sockets system` both ends of our flow have the kernel's own sockets, with small buffers (Linux).
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type Connection, Context } from "@sluice/websocket";
import { files } from "./files.ts";
import {
  CHUNK,
  type FromPage,
  HIGH_WATER_MARK,
  REPORT_EVERY,
  type SocketKind,
  type ToPage,
} from "./protocol.ts";
import { Race } from "./race.ts";

const MIB = 1024 * 1024;
const SLOWEST = 1 * MIB, FASTEST = 64 * MIB;

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "hostname": { type: "string", default: "127.0.0.1" },
    "port": { type: "string", default: "8080" },
    "seconds": { type: "string", default: "10" },
    "sockets": { type: "string", default: "deno" },
    "headless": { type: "boolean", default: false },
  },
});

const sockets: SocketKind = args.sockets === "system" ? "system" : "deno";

/** Prints one line, on a terminal over the previous one. */
function print(text: string): void {
  if (!Deno.stdout.isTerminal()) return console.log(text);
  const { columns } = Deno.consoleSize();
  Deno.stdout.writeSync(new TextEncoder().encode(`\r\x1b[K${text.slice(0, columns - 1)}`));
}

async function headless(seconds: number): Promise<boolean> {
  await using race = await Race.start(sockets);
  const { sluice, native } = race;
  const mib = (bytes: number) => (bytes / MIB).toFixed(1);
  console.log(
    `a producer of ${race.rate / MIB} MiB/s, a consumer of ${race.settings.speed / MIB} MiB/s`,
  );
  const sampling = setInterval(() => race.takeSample(), REPORT_EVERY);
  const printing = setInterval(() => console.log(race.line()), 1000);
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
    [`memory grew by ${mib(growth)} MiB (limit 48)`, growth <= 48 * MIB],
  ];
  for (const [what, holds] of bounds) console.log(`${holds ? "  ok  " : "FAILED"} ${what}`);
  console.log(
    `       for comparison, Deno's native WebSocket: most bytes queued ${native.highest}, ` +
      `memory grew by ${mib(native.mostRss - native.firstRss)} MiB`,
  );
  return bounds.every(([, holds]) => holds);
}

interface Visitor {
  readonly name: string;
}

async function serve(): Promise<void> {
  const ctx = new Context<Visitor>({ compression: true });
  let race: Race | null = null, visitors = 0;
  const listener = ctx.listen({
    hostname: args.hostname,
    port: Number(args.port),
    handler: files(),
    protocols: ["sluice-live", "sluice-echo"],
    onHandshake(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/live") return { data: { name: `visitor ${++visitors}` } };
      // The browser tests use this path to test a browser's own WebSocket.
      return pathname === "/echo" ? { data: { name: "" } } : new Response(null, { status: 404 });
    },
    onConnect(conn) {
      if (conn.data.name === "") return;
      tell(conn, { t: "hello", name: conn.data.name });
      if (race !== null) tell(conn, startOf(race));
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
  await begin();
  console.log(`open http://${listener.hostname}:${listener.port}/`);
  setInterval(() => {
    if (race !== null) tellAll(race.takeSample());
  }, REPORT_EVERY);
  setInterval(() => {
    if (race !== null) print(race.line());
  }, 1000);
  Deno.addSignalListener("SIGINT", async () => {
    if (Deno.stdout.isTerminal()) console.log("");
    await Promise.all([ctx.shutdown({ timeout: 2000 }), race?.[Symbol.asyncDispose]()]);
    Deno.exit();
  });

  /** Starts two new producers, whose memory is small again. */
  async function begin(): Promise<void> {
    const before = race;
    race = null;
    await before?.[Symbol.asyncDispose]();
    race = await Race.start(sockets, before?.settings);
    tellAll(startOf(race));
  }

  function startOf({ rate, history, settings }: Race): ToPage {
    const start = { rate, chunk: CHUNK, high: HIGH_WATER_MARK, sockets, history, settings };
    return { t: "start", ...start };
  }

  function pages(): Connection<Visitor>[] {
    return [...listener.connections].filter((conn) =>
      conn.data.name !== "" && conn.state === "open"
    );
  }

  function tell(conn: Connection<Visitor>, message: ToPage): void {
    conn.send(JSON.stringify(message));
  }

  /** Sends to a page. A page that doesn't keep up misses messages, instead of filling memory here. */
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
    // There is no race to configure while a new one starts.
    if (race === null) return;
    if (message.t === "restart") return void begin();
    if (message.t === "speed") {
      race.settings.speed = Math.min(Math.max(Number(message.value) || SLOWEST, SLOWEST), FASTEST);
    } else if (message.t === "pause") {
      race.settings.paused = message.value === true;
    }
    race.adjust();
    tellAll({ t: "settings", ...race.settings });
  }
}

if (args.headless) {
  Deno.exit(await headless(Number(args.seconds)) ? 0 : 1);
}
try {
  await serve();
} catch (error) {
  if (!(error instanceof Deno.errors.AddrInUse)) throw error;
  console.error(`Port ${args.port} is taken: give another one with --port`);
  Deno.exit(1);
}
