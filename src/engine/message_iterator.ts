import type { Receiver, Taker } from "./receiver.ts";
import { abortError } from "../errors.ts";
import { NORMAL } from "../protocol/close_code.ts";
import { isOrderly } from "../protocol/close_record.ts";
import type { ReceivedMessage } from "../flow/receive_queue.ts";

/**
 * Whoever takes messages one by one. There is at most one at a time, and none beside `onMessage`: two would each
 * get some of the messages.
 */
export class MessageIterator implements AsyncIterableIterator<ReceivedMessage>, Taker {
  readonly chunks = null;
  readonly bytes = 0;
  readonly #receiver: Receiver;
  readonly #preventClose: boolean;
  #done = false;

  /** Claims the messages of a connection. */
  constructor(receiver: Receiver, action: string, preventClose: boolean) {
    receiver.claim(this, action);
    this.#receiver = receiver;
    this.#preventClose = preventClose;
  }

  /** The next message; the end after an orderly close, an error after any other. */
  next(): Promise<IteratorResult<ReceivedMessage, undefined>> {
    return this.receive().then(
      (value) => ({ value, done: false as const }),
      (error) => {
        this.release();
        const { record } = this.#receiver;
        const orderly = this.#done || (record !== null && isOrderly(record));
        this.#done = true;
        if (orderly) return { value: undefined, done: true as const };
        throw error;
      },
    );
  }

  /** Ends the iteration, and the connection with it unless told otherwise. */
  return(): Promise<IteratorResult<ReceivedMessage, undefined>> {
    this.#done = true;
    this.release();
    // Who still awaits a message gets the end, not the next message.
    for (const taker of this.#receiver.waiters.splice(0)) taker();
    if (!this.#preventClose) this.#receiver.close(NORMAL, "");
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next message; rejects at the end. */
  receive(signal?: AbortSignal): Promise<ReceivedMessage> {
    const receiver = this.#receiver;
    if (this.#done) return Promise.reject(receiver.closedError("receive"));
    if (signal?.aborted) {
      return Promise.reject(abortError("The receive was aborted", signal.reason));
    }
    if (receiver.waiters.length === 0 && receiver.canTake()) {
      return Promise.resolve(receiver.take());
    }
    if (receiver.record !== null && !this.#waiting) {
      return Promise.reject(receiver.closedError("receive"));
    }
    return new Promise((resolve, reject) => {
      const settle = () => {
        signal?.removeEventListener("abort", abort);
        if (!this.#done && receiver.canTake()) resolve(receiver.take());
        else reject(receiver.closedError("receive"));
      };
      const abort = () => {
        receiver.waiters.splice(receiver.waiters.indexOf(settle), 1);
        reject(abortError("The receive was aborted", signal!.reason));
      };
      signal?.addEventListener("abort", abort, { once: true });
      receiver.waiters.push(settle);
      receiver.pull();
    });
  }

  /** Leaves the messages to others. */
  release(): void {
    this.#receiver.unclaim(this);
  }

  /** Whether there is a message to take, even if a pause holds it. */
  get #waiting(): boolean {
    return this.#receiver.waiting > 0;
  }

  keep(): boolean {
    return false;
  }

  wake(): void {}

  discard(): void {}
}
