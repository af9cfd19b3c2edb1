import { type Connection, engineOf } from "./connection.ts";
import type { Engine, Owner } from "./engine.ts";
import type { Timers } from "./timers.ts";
import { Topics } from "./topics.ts";

/** Options of `shutdown`. */
export interface ShutdownOptions {
  /** The code that every connection is closed with. @default {1001} */
  code?: number;
  /** The reason. @default {""} */
  reason?: string;
  /** When what is left is terminated, in ms. @default {10000} */
  timeout?: number;
}

/** How a shutdown went. */
export interface ShutdownResult {
  /** Connections that were closed with close frames both ways. */
  clean: number;
  /** Connections that had to be terminated, or were lost meanwhile. */
  terminated: number;
}

/** Counters of connections that have ended. */
export interface Totals {
  connections: number;
  messagesSent: number;
  messagesReceived: number;
  bytesSent: number;
  bytesReceived: number;
  queueHighWater: number;
  pauses: number;
  drains: number;
  dropped: number;
}

/** Who holds the connections of a context, or of one of its listeners. */
export class Registry implements Owner {
  readonly timers: Timers;
  /** The topics of the context. */
  readonly topics: Topics;
  readonly #parent: Registry | null;
  /** Connections that are open or closing, by their face. */
  readonly connections: Set<Connection> = new Set();
  /** Engines that are still connecting. */
  readonly connecting: Set<Engine> = new Set();
  readonly #totals: Totals = {
    connections: 0,
    messagesSent: 0,
    messagesReceived: 0,
    bytesSent: 0,
    bytesReceived: 0,
    queueHighWater: 0,
    pauses: 0,
    drains: 0,
    dropped: 0,
  };

  readonly #onClosed: () => void;

  /** @param onClosed Called whenever a connection has ended. */
  constructor(timers: Timers, parent: Registry | null = null, onClosed: () => void = () => {}) {
    this.timers = timers;
    this.topics = parent === null ? new Topics() : parent.topics;
    this.#parent = parent;
    this.#onClosed = onClosed;
  }

  opened(engine: Engine): void {
    this.connecting.delete(engine);
    this.connections.add(engine.conn);
    this.#totals.connections++;
    this.#parent?.opened(engine);
  }

  closed(engine: Engine): void {
    this.topics.leave(engine);
    this.connecting.delete(engine);
    if (this.connections.delete(engine.conn)) add(this.#totals, engine);
    this.#parent?.closed(engine);
    this.#onClosed();
  }

  /** The counters, of ended and living connections together. */
  totals(): Totals {
    const totals = { ...this.#totals };
    for (const conn of this.connections) add(totals, engineOf(conn));
    return totals;
  }

  /** Closes all connections; terminates what is left in the end. */
  async shutdown(code: number, reason: string, timeout: number): Promise<ShutdownResult> {
    for (const engine of [...this.connecting]) engine.close(code, reason);
    const result = { clean: 0, terminated: 0 };
    const ends = [...this.connections].map(async (conn) => {
      const engine = engineOf(conn);
      engine.close(code, reason);
      const { wasClean } = await engine.closed();
      if (wasClean) result.clean++;
      else result.terminated++;
    });
    if (ends.length === 0) return result;
    // This timer keeps the process alive on purpose: someone waits for the result.
    const timer = setTimeout(() => {
      for (const conn of [...this.connections]) conn.terminate();
    }, Math.min(timeout, 0x7fffffff));
    await Promise.all(ends);
    clearTimeout(timer);
    return result;
  }
}

function add(totals: Totals, engine: Engine): void {
  const stats = engine.stats();
  totals.messagesSent += stats.messagesSent;
  totals.messagesReceived += stats.messagesReceived;
  totals.bytesSent += stats.bytesSent;
  totals.bytesReceived += stats.bytesReceived;
  totals.queueHighWater = Math.max(totals.queueHighWater, stats.queueHighWater);
  totals.pauses += stats.pauses;
  totals.drains += stats.drains;
  totals.dropped += stats.dropped;
}
