import { choice, refusal } from "../util/check.ts";
import type { Engine } from "../engine/engine.ts";

/**
 * What becomes of a message for a receiver whose queue is above its high-water mark.
 *
 * @see {@linkcode Context.prototype.broadcast}
 */
export type SlowPolicy = "queue" | "drop" | "close";

/**
 * Which connections a message for many leaves out, and what happens to slow ones.
 *
 * @see {@linkcode Context.prototype.publish}
 */
export interface PublishOptionsOf<Face> {
  /** Connections that don't get it. */
  except?: Face | Iterable<Face>;
  /**
   * For receivers that are above their high-water mark already: `"queue"` it all the same, `"drop"` it for them, or
   * `"close"` them with 1013.
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
   * Connections that get it. Default: every server-side one; client-side ones among those given are left out as well.
   */
  to?: Iterable<Face>;
}

/**
 * What became of a message for many; each receiver is counted once.
 *
 * @see {@linkcode Context.prototype.broadcast}
 */
export interface BroadcastResult {
  /** Those whose queue is at or below their high-water mark with it: where `send` would have returned true. */
  sent: number;
  /** Those whose queue is above it now. */
  queued: number;
  /** Those that didn't get it, because they were slow and `slow` or their queue policy is `"drop"`. */
  dropped: number;
  /** Those that were closed for being slow. */
  closed: number;
  /** Those that weren't open, and those whose queue is full and whose queue policy is `"throw"`. */
  failed: number;
}

/**
 * What became of a publication.
 *
 * @see {@linkcode Context.prototype.publish}
 */
export interface PublishResult extends BroadcastResult {
  /**
   * Resolves when the broker has taken the publication for the other contexts, at once if there is no broker;
   * rejects if it has not. It is marked as handled.
   */
  readonly relayed: Promise<void>;
}

/**
 * A set that is looked at: it shows what there is at the time, and can't be changed through.
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
  /** How many there are. */
  readonly size: number;
  /** Whether one is among them. */
  has(value: T): boolean;
  /** Iterates over them; with it the operations of a `Set`, such as `union`, take it. */
  keys(): IterableIterator<T>;
}

/** The engine of a connection. Nothing here knows what a connection looks like to the application. */
export type EngineOf<Face> = (face: Face) => Engine;

/** A result that counts no connection yet. */
export function noResult(): BroadcastResult {
  return { sent: 0, queued: 0, dropped: 0, closed: 0, failed: 0 };
}

const SLOW_POLICIES = ["queue", "drop", "close"] as const;

/** Checks what slow receivers get. */
export function slowPolicy(action: string, slow: SlowPolicy | undefined): SlowPolicy {
  return choice(action, "slow", slow, SLOW_POLICIES);
}

/** The engines of the connections that are left out; `null` for none. */
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

/** The engines of some connections, each once. */
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
