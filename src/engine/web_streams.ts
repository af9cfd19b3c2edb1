import { MessageIterator } from "./message_iterator.ts";
import type { Engine } from "./engine.ts";
import type { Message } from "../errors.ts";
import type { ReceivedMessage } from "../flow/receive_queue.ts";
import { NORMAL } from "../protocol/close_code.ts";
import { BINARY, TEXT } from "../protocol/opcode.ts";

/**
 * The received messages as a stream. Nothing is taken before it is read, so the reader sets the pace of the peer.
 *
 * @param engine The connection; its messages are the stream's alone.
 * @returns Ends on an orderly close and fails on any other; cancelling closes with 1000.
 */
export function messageReadable(engine: Engine): ReadableStream<ReceivedMessage> {
  const messages = new MessageIterator(engine.receiver).claim("read from");
  return new ReadableStream<ReceivedMessage>({
    async pull(controller) {
      const { done, value } = await messages.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await messages.return();
    },
  }, { highWaterMark: 0 });
}

/**
 * A stream whose chunks are sent as messages. A write settles when the queue is at or below the high-water mark, or has
 * drained.
 *
 * @param engine The connection.
 * @returns Closing it closes with 1000 after what is queued, and waits for the end; aborting terminates.
 */
export function messageWritable(engine: Engine): WritableStream<Message> {
  return new WritableStream<Message>({
    async start(controller) {
      // Not awaited: the stream takes chunks at once if the connection is open.
      engine.closed().then(() => controller.error(engine.closedError("write to")));
      await engine.opened(() => {});
    },
    async write(data) {
      if (!engine.sender.send(data, typeof data === "string" ? TEXT : BINARY, false)) {
        await engine.sender.drained();
      }
    },
    async close() {
      engine.close(NORMAL, "");
      await engine.closed();
    },
    abort() {
      engine.terminate();
    },
  });
}
