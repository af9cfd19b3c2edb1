import { MessageIterator } from "./message_iterator.ts";
import type { Engine } from "./engine.ts";
import type { Message } from "../errors.ts";
import type { ReceivedMessage } from "../flow/receive_queue.ts";
import { NORMAL } from "../protocol/close_code.ts";
import { BINARY, TEXT } from "../protocol/opcode.ts";

/**
 * Makes a stream of the received messages. A message is taken only when it is read, so the reader sets the peer's pace.
 *
 * @param engine The connection; no other consumer may take its messages.
 * @returns The stream. It ends on an orderly close and fails on any other; cancelling it closes with 1000.
 */
export function messageReadable(engine: Engine): ReadableStream<ReceivedMessage> {
  const messages = new MessageIterator(engine.receiver).claim("read from");
  let cancelled = false;
  return new ReadableStream<ReceivedMessage>({
    async pull(controller) {
      const { done, value } = await messages.next();
      // The stream may be cancelled between the taking of a message and this line.
      if (cancelled) {
        if (!done) engine.receiver.dropTaken();
      } else if (done) {
        controller.close();
      } else {
        controller.enqueue(value);
      }
    },
    async cancel() {
      cancelled = true;
      await messages.return();
    },
  }, { highWaterMark: 0 });
}

/**
 * Makes a stream whose chunks are sent as messages. A write resolves if the queue is at or below the high-water mark, else
 * when it has drained.
 *
 * @param engine The connection.
 * @returns The stream. Closing it closes with 1000 after the queued messages, and waits for the end; aborting it
 *   terminates the connection.
 */
export function messageWritable(engine: Engine): WritableStream<Message> {
  return new WritableStream<Message>({
    async start(controller) {
      // The end isn't awaited, so that the stream accepts chunks as soon as the connection is open.
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
