import { afterCheckpoint, type CheckpointWaiter } from "../util/checkpoint.ts";

/**
 * The microtask checkpoints between messages, if callbacks ask for them. The messages of one read are a batch: messages
 * that are sent in the meantime leave in one write after the last of the batch, as they do without checkpoints.
 */
export class Checkpoints implements CheckpointWaiter {
  /** Whether the next message waits for one. */
  awaited = false;
  #batch = 0; // messages of the batch that are still to be delivered
  readonly #passed: () => void;

  /** @param passed Called after each checkpoint that was awaited. */
  constructor(passed: () => void) {
    this.#passed = passed;
  }

  /** Notes that a message was delivered, and that the next one waits until all microtasks have run. */
  await(): void {
    this.awaited = true;
    afterCheckpoint(this);
  }

  checkpointPassed(): void {
    this.awaited = false;
    this.#passed();
  }

  /** Makes a batch of the messages that wait, unless one is under way. */
  begin(waiting: number): void {
    if (this.awaited && this.#batch === 0) this.#batch = waiting;
  }

  /** The next message is delivered. */
  took(): void {
    if (this.#batch > 0) this.#batch--;
  }

  /** Whether messages of the batch are still to come; one that something else holds is over. */
  get midBatch(): boolean {
    if (!this.awaited) this.#batch = 0;
    return this.#batch > 0;
  }
}
