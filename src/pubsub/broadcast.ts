import type { Engine } from "../engine/engine.ts";
import { frameForMany, type Sendable } from "../engine/prepared_message.ts";
import { QueueFullError } from "../errors.ts";
import type { SharedFrame } from "../flow/shared_frame.ts";
import {
  type BroadcastOptionsOf,
  type BroadcastResult,
  type EngineOf,
  enginesOf,
  exceptions,
  noResult,
  type SlowPolicy,
  slowPolicy,
} from "./options.ts";

/** Sends a message to connections of servers: to those in `to`, or if it isn't given, to `all`. */
export function broadcast<Face>(
  all: Iterable<Engine>,
  data: Sendable,
  options: BroadcastOptionsOf<Face>,
  engineOf: EngineOf<Face>,
): BroadcastResult {
  const slow = slowPolicy("broadcast", options.slow);
  const { to } = options;
  const receivers = to === undefined
    ? all
    // A set has each connection once already.
    : to instanceof Set
    ? Array.from(to as Set<Face>, engineOf)
    : enginesOf("broadcast", "to", to, engineOf);
  const except = exceptions("broadcast", options.except, engineOf);
  const frame = frameForMany(data);
  const result = noResult();
  for (const engine of receivers) {
    if (engine.role !== "server" || (except !== null && except.has(engine))) continue;
    offer(engine, frame, slow, result);
  }
  return result;
}

/** Offers a frame to one receiver, and counts the outcome. */
export function offer(
  engine: Engine,
  frame: SharedFrame,
  slow: SlowPolicy,
  result: BroadcastResult,
): void {
  const { sender, settings } = engine, { queue } = sender;
  if (!sender.isOpen) {
    result.failed++;
    return;
  }
  let policy: SlowPolicy | "throw" = "queue";
  if (slow !== "queue" && queue.bytes > settings.highWaterMark) policy = slow;
  else if (!sender.fits(frame)) policy = settings.whenQueueFull;
  switch (policy) {
    case "queue":
      if (sender.accept(frame)) result.sent++;
      else result.queued++;
      break;
    case "drop":
      sender.dropped++;
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
