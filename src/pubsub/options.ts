import { choice, refusal } from "../util/check.ts";
import type { Engine } from "../engine/engine.ts";

/**
 * The policy for a receiver whose queue is above its high-water mark.
 *
 * @see {@linkcode Context.prototype.broadcast}
 */
export type SlowPolicy = "queue" | "drop" | "close";

/**
 * Options of a message for many.
 *
 * @see {@linkcode Context.prototype.publish}
 */
export interface PublishOptionsOf<Face> {
  /** Connections to leave out. */
  except?: Face | Iterable<Face>;
  /**
   * The policy for receivers whose queue is above their high-water mark already: `"queue"` the message nevertheless,
   * `"drop"` it for them, or `"close"` them with 1013.
   *
   * @default {"queue"}
   */
  slow?: SlowPolicy;
}

/**
 * Options of `broadcast`.
 *
 * @see {@linkcode Context.prototype.broadcast}
 */
export interface BroadcastOptionsOf<Face> extends PublishOptionsOf<Face> {
  /**
   * Connections to send to; those of clients are left out. Default: all connections of servers.
   */
  to?: Iterable<Face>;
}

/**
 * The outcome of a message for many; each receiver is counted once.
 *
 * @see {@linkcode Context.prototype.broadcast}
 */
export interface BroadcastResult {
  /** Receivers that got the message, and whose queue is at or below the high-water mark: `send` would have returned true. */
  sent: number;
  /** Receivers that got the message, and whose queue is above the high-water mark. */
  queued: number;
  /** Receivers for which the message was dropped, because of `slow: "drop"` or `whenQueueFull: "drop"`. */
  dropped: number;
  /** Receivers that were closed because of `slow: "close"` or `whenQueueFull: "close"`. */
  closed: number;
  /** Receivers that weren't open, or whose queue was full with `whenQueueFull: "throw"`. */
  failed: number;
}

/**
 * The outcome of a publication.
 *
 * @see {@linkcode Context.prototype.publish}
 */
export interface PublishResult extends BroadcastResult {
  /**
   * Resolves when the broker has taken the publication for other contexts; at once without a broker. Rejects if the broker
   * hasn't taken it. Needn't be awaited: a rejection that isn't handled has no effect.
   */
  readonly relayed: Promise<void>;
}

/**
 * A live view of a set: it always shows the present members, and can't change them.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({
 *   hostname: "127.0.0.1",
 *   onConnect(conn) {
 *     conn.subscribe("news");
 *     console.log(`${conn.topics.size} topic, ${ctx.subscribers("news").size} subscriber`);
 *     for (const other of ctx.subscribers("news")) other.send("welcome");
 *   },
 * });
 * console.log(await ctx.connect(listener.url).receive());
 * ```
 */
export interface LiveSet<T> extends Iterable<T> {
  /** The number of members. */
  readonly size: number;
  /** Whether a value is a member. */
  has(value: T): boolean;
  /** Iterates over the members. It makes the view an argument for the operations of `Set`, such as `union`. */
  keys(): IterableIterator<T>;
}

/** Returns the engine of a connection; this layer doesn't know the class of connections. */
export type EngineOf<Face> = (face: Face) => Engine;

/** Makes a result that counts no connection yet. */
export function noResult(): BroadcastResult {
  return { sent: 0, queued: 0, dropped: 0, closed: 0, failed: 0 };
}

const SLOW_POLICIES = ["queue", "drop", "close"] as const;

/** Checks the option `slow`. */
export function slowPolicy(action: string, slow: SlowPolicy | undefined): SlowPolicy {
  return choice(action, "slow", slow, SLOW_POLICIES);
}

/** Returns the engines of the connections to leave out; `null` for none. */
export function exceptions<Face>(
  action: string,
  except: PublishOptionsOf<Face>["except"],
  engineOf: EngineOf<Face>,
): Set<Engine> | null {
  if (except === undefined) return null;
  const many = typeof except === "object" && except !== null && Symbol.iterator in except;
  // A connection is itself iterable, but asynchronously.
  return enginesOf(action, "except", many ? except : [except as Face], engineOf);
}

/** Returns the engines of some connections, without duplicates. */
export function enginesOf<Face>(
  action: string,
  option: string,
  faces: Iterable<Face>,
  engineOf: EngineOf<Face>,
): Set<Engine> {
  if (typeof faces !== "object" || faces === null || !(Symbol.iterator in faces)) {
    throw refusal(`${action} with ${option}`, faces, "connections");
  }
  const engines = new Set<Engine>();
  for (const face of faces) {
    let engine;
    try {
      engine = engineOf(face);
    } catch (cause) {
      throw refusal(`${action} with ${option}`, face, "connections", cause);
    }
    engines.add(engine);
  }
  return engines;
}
