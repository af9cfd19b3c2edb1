/**
 * Counters of a connection.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({ hostname: "127.0.0.1" });
 * const conn = ctx.connect(listener.url);
 * await conn.opened;
 * conn.send("hello");
 * await conn.flushed();
 * conn.pause();
 * const { messagesSent, queueHighWater, pauses } = conn.stats();
 * console.log({ messagesSent, queueHighWater, pauses, paused: conn.isPaused });
 * ```
 */
export interface ConnectionStats {
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
  /**
   * The highest value that `queuedBytes` has had after a `send`. With system sockets the kernel takes large messages, or
   * parts of them, while `send` runs: such bytes were never queued.
   */
  queueHighWater: number;
  /** Calls of `pause` that paused. */
  pauses: number;
  /** Times that the queue has drained. */
  drains: number;
  /** Messages dropped because of `whenQueueFull: "drop"`, or of `slow: "drop"` when sent to many. */
  dropped: number;
  /** The round trip of the last answered ping in ms; `null` before the first. */
  lastRoundTrip: number | null;
}
