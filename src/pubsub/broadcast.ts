import { type Connection, engineOf } from "../connection.ts";
import type { Engine } from "../engine/engine.ts";
import { QueueFullError } from "../errors.ts";
import type { SharedFrame } from "../flow/shared_frame.ts";
import { frameForMany, type Sendable } from "../engine/prepared_message.ts";
import { acceptFrame, fits } from "../engine/send_prepared.ts";

/** What becomes of a message for a receiver whose queue is above its high-water mark. */
export type SlowPolicy = "queue" | "drop" | "close";

/** Whom a message for many leaves out, and what slow ones get. */
export interface PublishOptions<Data = unknown> {
  /** Who doesn't get it. */
  except?: Connection<Data> | Iterable<Connection<Data>>;
  /**
   * For receivers that are above their high-water mark already: `"queue"` it all the same, `"drop"` it for them, or
   * `"close"` them with 1013.
   *
   * @default {"queue"}
   */
  slow?: SlowPolicy;
}

/** Options of `broadcast`. */
export interface BroadcastOptions<Data = unknown> extends PublishOptions<Data> {
  /** Who gets it. Default: every server-side connection; client-side ones among those given are left out as well. */
  to?: Iterable<Connection<Data>>;
}

/** What became of a message for many; each receiver is counted once. */
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

/** Checks the options of a message for many. */
export function checkManyOptions(action: string, options: PublishOptions): SlowPolicy {
  const { slow = "queue" } = options;
  if (slow !== "queue" && slow !== "drop" && slow !== "close") {
    throw new TypeError(`Cannot ${action} with slow ${String(slow)}: use queue, drop, close`);
  }
  return slow;
}

/** Sends a message to the server-side ones of some connections, of all where `to` doesn't name them. */
export function broadcast<Data>(
  all: Iterable<Engine>,
  data: Sendable,
  options: BroadcastOptions<Data> = {},
): BroadcastResult {
  const slow = checkManyOptions("broadcast", options as PublishOptions);
  const { to } = options;
  const receivers = to === undefined
    ? all
    : to instanceof Set
    ? (to as Set<Connection>).values().map(engineOf)
    : enginesOf(to);
  const except = exceptions(options.except);
  const frame = frameForMany(data);
  const result = noResult();
  for (const engine of receivers) {
    if (engine.role !== "server" || (except !== null && except.has(engine))) continue;
    offer(engine, frame, slow, result);
  }
  return result;
}

/** A result that counts nobody yet. */
export function noResult(): BroadcastResult {
  return { sent: 0, queued: 0, dropped: 0, closed: 0, failed: 0 };
}

/** The engines of those who are left out; `null` for nobody. */
export function exceptions<Data>(except: PublishOptions<Data>["except"]): Set<Engine> | null {
  if (except === undefined) return null;
  return enginesOf(Symbol.iterator in except ? except : [except as Connection<Data>]);
}

/** Whoever stands in a list twice is there once. */
function enginesOf<Data>(connections: Iterable<Connection<Data>>): Set<Engine> {
  const engines = new Set<Engine>();
  for (const conn of connections) engines.add(engineOf(conn as Connection));
  return engines;
}

/** Offers a frame to one of many, and counts what became of it. */
export function offer(
  engine: Engine,
  frame: SharedFrame,
  slow: SlowPolicy,
  result: BroadcastResult,
): void {
  if (engine.state !== "open" || engine.writeShut) {
    result.failed++;
    return;
  }
  const { queue, settings } = engine;
  let policy: SlowPolicy | "throw" = "queue";
  if (slow !== "queue" && queue.bytes > settings.highWaterMark) policy = slow;
  else if (!fits(engine, frame)) policy = settings.whenQueueFull;
  switch (policy) {
    case "queue":
      if (acceptFrame(engine, frame)) result.sent++;
      else result.queued++;
      break;
    case "drop":
      engine.dropped++;
      result.dropped++;
      break;
    case "close":
      result.closed++;
      engine.overflow(
        new QueueFullError(`Closed for being slow: ${queue.bytes} bytes are queued`, undefined),
      );
      break;
    case "throw":
      result.failed++;
  }
}
