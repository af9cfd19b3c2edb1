import type { QueuedMessage, ReceivedMessage } from "../flow/receive_queue.ts";
import type { ChunkSink } from "../protocol/message_assembler.ts";

/** A consumer that takes messages when it wants them, instead of `onMessage`. */
export interface MessageConsumer {
  /** Takes messages in pieces as they arrive; `null` for a consumer of whole ones. */
  readonly chunks: ChunkSink | null;
  /** Bytes of messages in pieces that it holds. */
  readonly bytes: number;
  /** Whether it awaits the next bytes, so that `readAhead` doesn't limit them. */
  readonly awaits: boolean;
  /** Converts a whole message to the form that is queued for this consumer. */
  wrap(data: ReceivedMessage): QueuedMessage;
  /** Converts a queued message back to a whole one, for another consumer; `null` if it isn't complete. */
  restore(message: QueuedMessage): ReceivedMessage | null;
  /** Looks again: there may be a message to take, or none may come any more. */
  wake(): void;
  /** Drops the messages that it holds and all later ones: we have closed. */
  discard(): void;
}
