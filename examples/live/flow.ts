import type { Connection, Context, ReceivedMessage } from "@sluice/websocket";
import {
  CHUNK,
  type FlowSample,
  type ProducerReport,
  type Settings,
  type SocketKind,
} from "./protocol.ts";

/** One producer in a process of its own, and its consumer here, which reads at a speed that can be set. */
export class Flow implements AsyncDisposable {
  readonly kind: "sluice" | "native";
  /** Number of messages out of order. */
  gaps = 0;
  /** The most that the producer's queue has held. */
  highest = 0;
  /** Drains in all. */
  drains = 0;
  /** Memory at the first report, and the most since. */
  firstRss = 0;
  mostRss = 0;
  readonly #settings: Settings;
  readonly #process: Deno.ChildProcess;
  readonly #conn: Promise<Connection>;
  #last: ProducerReport | null = null;
  #before: ProducerReport | null = null;
  #taken = 0;
  #takenBefore = 0;
  #peak = 0;
  #due = performance.now();
  #time = performance.now();
  #wake: (() => void) | null = null;

  constructor(
    ctx: Context,
    kind: "sluice" | "native",
    rate: number,
    settings: Settings,
    sockets: SocketKind = "deno",
  ) {
    this.kind = kind;
    this.#settings = settings;
    this.#process = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--allow-net",
        ...(sockets === "system" ? ["--allow-ffi"] : []),
        "--no-check",
        new URL("producer.ts", import.meta.url).href,
        kind,
        String(rate),
        sockets,
      ],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const { promise, resolve } = Promise.withResolvers<Connection>();
    this.#conn = promise;
    this.#read((url) => {
      const conn = ctx.connect(url, { onMessage: (_, data) => this.#take(data), payload: "view" });
      resolve(conn);
    });
  }

  /** Resolves when messages can flow at the configured speed. */
  async opened(): Promise<Connection> {
    const conn = await this.#conn;
    await conn.opened;
    if (this.#settings.paused) conn.pause();
    return conn;
  }

  /** Applies changed settings. */
  async adjust(): Promise<void> {
    const conn = await this.#conn;
    if (this.#settings.paused) conn.pause();
    else conn.resume();
    this.#due = performance.now();
    this.#wake?.();
  }

  /** Returns the figures since the last call. */
  sample(): FlowSample {
    const now = performance.now(), seconds = (now - this.#time) / 1000;
    const last = this.#last, before = this.#before ?? last;
    const sample = {
      made: last === null ? 0 : (last.made - before!.made) * CHUNK / seconds,
      taken: (this.#taken - this.#takenBefore) / seconds,
      queue: last?.queue ?? 0,
      peak: this.#peak,
      drains: last === null ? 0 : last.drains - before!.drains,
      rss: last?.rss ?? 0,
    };
    this.#time = now;
    this.#takenBefore = this.#taken;
    this.#before = last;
    this.#peak = last?.queue ?? 0;
    return sample;
  }

  async [Symbol.asyncDispose]() {
    (await this.#conn).terminate();
    // It may have ended already: Ctrl-C goes to all processes of a terminal.
    await this.#process.stdin.close().catch(() => {});
    await this.#process.status;
  }

  /** The consumer: its promise holds the connection, which holds the producer. */
  #take(data: ReceivedMessage): Promise<void> | undefined {
    const bytes = data as Uint8Array;
    const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    if (number !== this.#taken / CHUNK) this.gaps++;
    this.#taken += bytes.length;
    const now = performance.now();
    this.#due = Math.max(this.#due, now - 50) + bytes.length / this.#settings.speed * 1000;
    if (this.#due - now < 2) return undefined;
    return new Promise((resolve) => {
      const timer = setTimeout(done, this.#due - now);
      this.#wake = done;
      function done() {
        clearTimeout(timer);
        resolve();
      }
    });
  }

  async #read(onUrl: (url: string) => void): Promise<void> {
    let rest = "", url = false;
    for await (const text of this.#process.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (!url) {
          url = true;
          onUrl(line);
        } else {
          this.#report(JSON.parse(line));
        }
      }
    }
  }

  #report(report: ProducerReport): void {
    this.#last = report;
    this.#peak = Math.max(this.#peak, report.peak);
    this.highest = Math.max(this.highest, report.peak);
    this.drains = report.drains;
    this.firstRss ||= report.rss;
    this.mostRss = Math.max(this.mostRss, report.rss);
  }
}
