import type { Connection, ConnectionHome, ListenerHandle } from "../connection.ts";
import type { Engine, Owner } from "../engine/engine.ts";
import { ClosingConnections } from "./closing_connections.ts";
import { Observers } from "./observer.ts";
import { MemberList } from "../util/member_list.ts";
import type { Timers } from "../util/timers.ts";
import type { ConnectionStats } from "../engine/stats.ts";
import { MAX_TOPICS, type SubscriptionRules, Topics } from "../pubsub/topics.ts";

/**
 * Counters of a context.
 *
 * @see {@linkcode Context.prototype.stats}
 */
export interface ContextStats {
  /** Connections that are open or closing. */
  openConnections: number;
  /** Connections that have been opened. */
  connections: number;
  /** Messages accepted by `send` and the other methods that send. */
  messagesSent: number;
  /** Messages received whole. */
  messagesReceived: number;
  /** Bytes that the kernel has taken, framing included. */
  bytesSent: number;
  /** Bytes received, framing included. */
  bytesReceived: number;
  /** Payload bytes that the kernel has not taken yet. */
  queuedBytes: number;
  /** The highest `queueHighWater` of any connection, in bytes. */
  queueHighWater: number;
  /** Calls of `pause` that paused. */
  pauses: number;
  /** Times that a queue has drained. */
  drains: number;
  /** Messages dropped because of `whenQueueFull: "drop"`, or of `slow: "drop"` when sent to many. */
  dropped: number;
}

/** Counters of connections that have ended. */
type Totals = Omit<ContextStats, "openConnections" | "queuedBytes">;

/** The connections of a context, or of one of its listeners. */
export class Registry implements Owner, ConnectionHome {
  readonly timers: Timers;
  /** The topics of the context. */
  readonly topics: Topics;
  /** The listener of these connections; `null` for the registry of a context. */
  listener: ListenerHandle | null = null;
  /** Rules for subscriptions of these connections. */
  subscriptions: SubscriptionRules = { maxTopics: MAX_TOPICS, onSubscription: undefined };
  /** The observers of the context. */
  readonly observers: Observers;
  readonly #parent: Registry | null;
  readonly #children: Registry[] = [];
  /** Engines that are still connecting. */
  readonly connecting: MemberList<Engine> = new MemberList();
  readonly #members: MemberList<Engine> = new MemberList();
  // For the application; made on first use.
  #connections: Set<Connection> | null = null;
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

  /** Shutdowns of these connections. */
  readonly #closing: ClosingConnections[] = [];
  readonly #onClosed: () => void;

  /** @param onClosed Called whenever a connection has ended. */
  constructor(timers: Timers, parent: Registry | null = null, onClosed: () => void = () => {}) {
    this.timers = timers;
    this.topics = parent === null ? new Topics() : parent.topics;
    this.observers = parent === null ? new Observers() : parent.observers;
    this.#parent = parent;
    this.#onClosed = onClosed;
    if (parent !== null) parent.#children.push(this);
  }

  /** Removes this registry from its parent; to be called when no connections will be added. */
  leave(): void {
    const siblings = this.#parent!.#children, at = siblings.indexOf(this);
    if (at >= 0) siblings.splice(at, 1);
  }

  /** The number of connections that are open or closing. */
  get size(): number {
    let size = this.#members.size;
    for (const child of this.#children) size += child.size;
    return size;
  }

  /** The engines of connections that are open or closing. */
  *engines(): Generator<Engine> {
    yield* this.#members;
    for (const child of [...this.#children]) yield* child.engines();
  }

  /** The public objects of connections that are open or closing. */
  get connections(): ReadonlySet<Connection> {
    return this.#connections ??= new Set(this.engines().map(({ face }) => face));
  }

  opened(engine: Engine, began: number): void {
    this.connecting.delete(engine);
    this.#members.add(engine);
    this.#enter(engine);
    if (this.observers.any) {
      this.observers.notify((observer) => observer.opened(engine.face, began));
    }
  }

  #enter(engine: Engine): void {
    this.#connections?.add(engine.face);
    this.#totals.connections++;
    // Later, so that the caller that opens the connection can finish first.
    for (const closing of this.#closing) queueMicrotask(() => closing.add(engine));
    if (this.#parent !== null) this.#parent.#enter(engine);
  }

  closed(engine: Engine): (() => void) | null {
    const after = this.topics.leave(engine, this.subscriptions);
    this.connecting.delete(engine);
    this.#exit(engine, this.#members.delete(engine) ? engine.stats() : null);
    if (this.observers.any) {
      this.observers.notify((observer) => observer.closed(engine.face, engine.record!));
    }
    return after;
  }

  /** @param counted Its counters; `null` if it never opened. */
  #exit(engine: Engine, counted: ConnectionStats | null): void {
    this.#connections?.delete(engine.face);
    if (counted !== null) add(this.#totals, counted);
    if (this.#parent !== null) this.#parent.#exit(engine, counted);
    this.#onClosed();
  }

  /** Returns the counters of all connections, ended ones included. */
  stats(): ContextStats {
    const stats = { openConnections: this.size, queuedBytes: 0, ...this.#totals };
    for (const engine of this.engines()) {
      stats.queuedBytes += engine.queuedBytes;
      add(stats, engine.stats());
    }
    return stats;
  }

  /** Cancels attempts to connect, and handshakes of listeners that a handler decides about. */
  #cancel(code: number, reason: string): void {
    for (const engine of this.connecting) engine.close(code, reason);
    for (const child of this.#children) child.#cancel(code, reason);
  }

  /** Closes all connections, and those that open from now on. */
  close(code: number, reason: string): ClosingConnections {
    this.#cancel(code, reason);
    const closing = new ClosingConnections(code, reason);
    this.#closing.push(closing);
    for (const engine of [...this.engines()]) closing.add(engine);
    return closing;
  }
}

function add(totals: Totals, stats: ConnectionStats): void {
  totals.messagesSent += stats.messagesSent;
  totals.messagesReceived += stats.messagesReceived;
  totals.bytesSent += stats.bytesSent;
  totals.bytesReceived += stats.bytesReceived;
  totals.queueHighWater = Math.max(totals.queueHighWater, stats.queueHighWater);
  totals.pauses += stats.pauses;
  totals.drains += stats.drains;
  totals.dropped += stats.dropped;
}
