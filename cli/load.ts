import { clearImmediate, setImmediate } from "node:timers";
import { type Connection, Context, type ReceivedMessage } from "../mod.ts";
import { Fifo } from "../src/util/fifo.ts";
import { startTimer, within } from "../src/util/timers.ts";
import { LostError, typed } from "./failure.ts";
import { Histogram } from "./histogram.ts";
import type { ClientOptions } from "./options.ts";

/** The load on an echo server. */
export interface Load {
  readonly url: string;
  readonly connections: number;
  /** Messages in flight per connection; `null` with a rate. */
  readonly depth: number | null;
  /** Messages per second, all connections together; `null` with a depth. */
  readonly rate: number | null;
  readonly size: number;
  readonly seconds: number;
  readonly text: boolean;
  readonly options: ClientOptions;
}

/** How long before a message is due the clock is polled, in ms: timers are late by about a millisecond. */
const NEAR = 2;

/** The measurements of all connections. Echoes during the warm-up aren't counted. */
export class Tally {
  readonly latency = new Histogram();
  readonly failed: Promise<never>;
  readonly fail: (error: unknown) => void;
  /** When the measurement has begun; 0 before. */
  start = 0;
  /** When the measurement has ended; 0 before. */
  end = 0;
  /** Messages that had not come back at the end. */
  missing = 0;

  constructor() {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {});
    this.failed = promise;
    this.fail = reject;
  }

  get isOver(): boolean {
    return this.end > 0;
  }

  /** The duration of the measurement in s. */
  get seconds(): number {
    return ((this.end || performance.now()) - this.start) / 1000;
  }

  /** Counts the echo of a message that was due at the time `due`. */
  add(due: number, now: number): void {
    if (this.start > 0) this.latency.add(now - due);
  }
}

/** Runs the load until its time has passed or `stopped` resolves. The measurements are in the tally. */
export async function run(load: Load, tally: Tally, stopped: Promise<void>): Promise<void> {
  const ctx = new Context();
  const sources: Source[] = [];
  let stopClock = () => {};
  try {
    sources.push(...typed(() => {
      return Array.from({ length: load.connections }, () => new Source(ctx, load, tally));
    }));
    const opened = Promise.all(sources.map(({ conn }) => conn.opened));
    if (await Promise.race([opened.then(() => false), stopped.then(() => true)])) return;
    if (load.depth === null) stopClock = runClock(load.rate!, sources);
    else for (const source of sources) source.fill(load.depth);
    if (await passed(load.seconds * 100, tally, stopped)) return;
    tally.start = performance.now();
    await passed(load.seconds * 1000, tally, stopped);
  } finally {
    stopClock();
    const now = tally.end = performance.now();
    // Messages that haven't come back count, too. Otherwise a stall at the end wouldn't show.
    if (load.depth === null) { for (const source of sources) source.countMissing(now); }
    await ctx.shutdown({ code: 1000, timeout: 2000 });
  }
}

/** Waits; returns whether the wait was stopped. Rejects as soon as a connection fails. */
async function passed(ms: number, { failed }: Tally, stopped: Promise<void>): Promise<boolean> {
  let isStopped = false;
  const early = Promise.race([failed, stopped.then(() => isStopped = true)]);
  if (await within(ms, early)) await early;
  return isStopped;
}

/** Sends messages at their due times, over each connection in turn. Returns a function that stops it. */
function runClock(rate: number, sources: readonly Source[]): () => void {
  const start = performance.now();
  let sent = 0;
  let stop = () => {};
  const tick = () => {
    const due = () => start + sent / rate * 1000;
    const now = performance.now();
    for (; due() <= now; sent++) sources[sent % sources.length].send(due());
    const left = due() - now;
    if (left > NEAR) {
      stop = startTimer(left - NEAR, tick);
    } else {
      const next = setImmediate(tick);
      stop = () => clearImmediate(next);
    }
  };
  tick();
  return () => stop();
}

/** A connection, and the due times of its messages in flight, whose echoes come in order. */
class Source {
  readonly conn: Connection;
  readonly #message: string | Uint8Array;
  readonly #tally: Tally;
  readonly #due = new Fifo<number>();

  constructor(ctx: Context, { url, size, text, depth, options }: Load, tally: Tally) {
    this.#message = text ? "x".repeat(size) : new Uint8Array(size).fill(120);
    this.#tally = tally;
    this.conn = ctx.connect(url, {
      ...options,
      maxMessageSize: 0,
      maxQueueBytes: 0,
      payload: "view",
      onMessage: (_, data: ReceivedMessage) => this.#receive(data, depth !== null),
      onClose(_, close) {
        if (!tally.isOver) tally.fail(new LostError(`Connection lost: ${close}`));
      },
      onError(_, error) {
        if (!tally.isOver) tally.fail(error);
      },
    });
  }

  /** Sends a message that is due at the time `due`. */
  send(due: number): void {
    if (this.conn.state !== "open") return;
    this.#due.push(due);
    this.conn.send(this.#message);
  }

  /** Sends the first `depth` messages; each echo then sends the next one. */
  fill(depth: number): void {
    for (let i = 0; i < depth; i++) this.send(performance.now());
  }

  /** Counts the messages that haven't come back, with the time since they were due. */
  countMissing(now: number): void {
    for (const due of this.#due.drain()) {
      this.#tally.missing++;
      this.#tally.add(due, now);
    }
  }

  #receive(data: ReceivedMessage, again: boolean): void {
    const message = this.#message;
    if (this.#tally.isOver) return;
    if (data.length !== message.length || typeof data !== typeof message) {
      const type = typeof data === "string" ? "text" : "binary";
      const came = `${message.length} bytes came back as ${type} of ${data.length}`;
      return this.#tally.fail(new LostError(`The server is not an echo server: ${came}`));
    }
    const now = performance.now();
    this.#tally.add(this.#due.shift()!, now);
    if (again) this.send(now);
  }
}
