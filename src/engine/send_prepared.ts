import type { Engine } from "./engine.ts";
import type { SharedFrame } from "../flow/shared_frame.ts";
import { preparedFrame, type PreparedMessage } from "./prepared_message.ts";
import { checkSendable, overflow, roomOf } from "./sender.ts";

/** Sends a prepared message to one connection, as `send` does any other. */
export function sendPrepared(
  engine: Engine,
  message: PreparedMessage,
  compress?: boolean,
): boolean {
  checkSendable(engine, message);
  const frame = preparedFrame(message);
  if (!fits(engine, frame)) return overflow(engine, message);
  return acceptFrame(engine, frame, compress);
}

/** Whether the queue has room for a frame. */
export function fits(engine: Engine, frame: SharedFrame): boolean {
  return frame.length <= roomOf(engine.queue, engine.settings.maxQueueBytes);
}

/**
 * Queues a frame that others have as well; amid an unfinished fragmented message it waits for its end. The connection
 * must be open, and have room for it.
 *
 * @returns Whether the queue is at or below the high-water mark.
 */
export function acceptFrame(engine: Engine, frame: SharedFrame, compress?: boolean): boolean {
  const { queue, deflater: packer } = engine;
  if (engine.openMessage !== null) queue.postpone(frame);
  else if (packer !== null && packer.wants(frame.length, compress)) {
    packer.pushShared(frame, engine.writer.busy);
  } else queue.pushShared(frame, engine.writer.busy);
  engine.messagesSent++;
  engine.queued();
  return queue.bytes <= engine.settings.highWaterMark;
}
