import { Context } from "@sluice/websocket";
import { systemSockets } from "@sluice/websocket/system";
import { Flow } from "./flow.ts";
import { CHUNK, REPORT_EVERY, type Sample, type Settings, type SocketKind } from "./protocol.ts";

const MIB = 1024 * 1024;
const RATE = 32 * MIB;
const HISTORY = 600;

/** Runs the same load over this library and over Deno's native WebSocket, each with its own producer process. */
export class Race implements AsyncDisposable {
  readonly rate: number = RATE;
  readonly settings: Settings;
  readonly history: Sample[] = [];
  readonly sluice: Flow;
  readonly native: Flow;
  readonly #contexts: Context[];
  readonly #start = performance.now();
  #roundTrip: number | null = null;

  private constructor(sockets: SocketKind, settings: Settings) {
    this.settings = settings;
    const small = sockets === "system" ? systemSockets({ receiveBuffer: CHUNK }) : undefined;
    this.#contexts = [new Context({ sockets: small }), new Context()];
    this.sluice = new Flow(this.#contexts[0], "sluice", RATE, settings, sockets);
    this.native = new Flow(this.#contexts[1], "native", RATE, settings);
  }

  /** Starts both, and resolves when messages flow. */
  static async start(
    sockets: SocketKind,
    settings: Settings = { speed: 8 * MIB, paused: false },
  ): Promise<Race> {
    const race = new Race(sockets, settings);
    await Promise.all([race.sluice.opened(), race.native.opened()]);
    race.#measureRoundTrips();
    return race;
  }

  /** Applies changed settings. */
  adjust(): void {
    this.sluice.adjust();
    this.native.adjust();
  }

  takeSample(): Sample {
    const sample: Sample = {
      t: "sample",
      time: (performance.now() - this.#start) / 1000,
      sluice: this.sluice.sample(),
      native: this.native.sample(),
      roundTrip: this.#roundTrip,
    };
    this.history.push(sample);
    if (this.history.length > HISTORY) this.history.shift();
    return sample;
  }

  /** Describes the last second in one line, by averages. */
  line(): string {
    const recent = this.history.slice(-1000 / REPORT_EVERY), last = recent.at(-1);
    if (last === undefined) return "";
    const mib = (bytes: number) => (bytes / MIB).toFixed(1).padStart(5);
    const mean = (pick: (sample: Sample) => number) =>
      recent.reduce((sum, sample) => sum + pick(sample), 0) / recent.length;
    const peak = Math.max(...recent.map(({ sluice }) => sluice.peak));
    return `${Math.round(last.time)} s`.padStart(6) +
      `  made ${mib(mean(({ sluice }) => sluice.made))} MiB/s` +
      `  taken ${mib(mean(({ sluice }) => sluice.taken))} MiB/s` +
      `  queue ${Math.round(peak / 1024)} KiB  memory ${mib(last.sluice.rss)} MiB` +
      `  native: queue ${mib(last.native.queue)} MiB, memory ${mib(last.native.rss)} MiB`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.sluice[Symbol.asyncDispose](), this.native[Symbol.asyncDispose]()]);
    await Promise.all(this.#contexts.map((ctx) => ctx.shutdown({ timeout: 0 })));
  }

  async #measureRoundTrips(): Promise<void> {
    const loaded = await this.sluice.opened();
    while (loaded.state === "open") {
      const late = setTimeout(() => this.#roundTrip = null, 5000);
      this.#roundTrip = await loaded.ping().catch(() => null);
      clearTimeout(late);
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
}
