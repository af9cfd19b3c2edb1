import type { Engine } from "./engine.ts";
import { abortError } from "../errors.ts";
import { NORMAL } from "../protocol/close_code.ts";
import type { ReceivedMessage } from "../flow/receive_queue.ts";

// Closes that end an iteration instead of failing it: done, going away, and no code at all.
const ORDERLY = [1000, 1001, 1005];

/**
 * Whoever takes messages one by one. There is at most one at a time, and none beside `onMessage`: two would each
 * get some of the messages.
 */
export class MessageIterator implements AsyncIterableIterator<ReceivedMessage> {
  readonly #engine: Engine;
  readonly #preventClose: boolean;
  #done = false;

  /** Claims the messages of a connection. */
  constructor(engine: Engine, action: string, preventClose: boolean) {
    if (engine.handlers.onMessage !== undefined) {
      throw new TypeError(`Cannot ${action} a connection that has an onMessage callback`);
    }
    if (engine.settings.lend) {
      throw new TypeError(`Cannot ${action} a connection with payload "view": use "copy"`);
    }
    if (!engine.settings.assemble) {
      throw new TypeError(`Cannot ${action} a connection with assemble: false: it has no messages`);
    }
    if (engine.delivery.consumer !== null || engine.delivery.incoming !== null) {
      throw new TypeError(`Cannot ${action} a connection whose messages are being taken already`);
    }
    engine.delivery.consumer = this;
    this.#engine = engine;
    this.#preventClose = preventClose;
  }

  /** The next message; the end after an orderly close, an error after any other. */
  next(): Promise<IteratorResult<ReceivedMessage, undefined>> {
    return this.receive().then(
      (value) => ({ value, done: false as const }),
      (error) => {
        this.release();
        const { record } = this.#engine;
        const orderly = this.#done || (record !== null && ORDERLY.includes(record.code));
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
    for (const taker of this.#engine.delivery.waiters.splice(0)) taker();
    if (!this.#preventClose) this.#engine.close(NORMAL, "");
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next message; rejects at the end. */
  receive(signal?: AbortSignal): Promise<ReceivedMessage> {
    const engine = this.#engine;
    if (this.#done) return Promise.reject(engine.closedError("receive"));
    if (signal?.aborted) {
      return Promise.reject(abortError("The receive was aborted", signal.reason));
    }
    if (engine.delivery.waiters.length === 0 && engine.delivery.canTake()) {
      return Promise.resolve(this.#take());
    }
    if (engine.record !== null && !this.#waiting) {
      return Promise.reject(engine.closedError("receive"));
    }
    return new Promise((resolve, reject) => {
      const settle = () => {
        signal?.removeEventListener("abort", abort);
        if (!this.#done && engine.delivery.canTake()) resolve(this.#take());
        else reject(engine.closedError("receive"));
      };
      const abort = () => {
        engine.delivery.waiters.splice(engine.delivery.waiters.indexOf(settle), 1);
        reject(abortError("The receive was aborted", signal!.reason));
      };
      signal?.addEventListener("abort", abort, { once: true });
      engine.delivery.waiters.push(settle);
      engine.reader?.pull();
    });
  }

  /** Leaves the messages to others. */
  release(): void {
    if (this.#engine.delivery.consumer === this) this.#engine.delivery.consumer = null;
  }

  /** Whether there is a message to take, even if a pause holds it. */
  get #waiting(): boolean {
    return (this.#engine.delivery.inbox?.length ?? 0) > 0;
  }

  #take(): ReceivedMessage {
    const engine = this.#engine;
    const message = engine.delivery.take();
    // There is room again: reading may go on.
    engine.reader!.pull();
    return message;
  }
}
