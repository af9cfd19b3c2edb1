import type { Transport } from "../transport/transport.ts";
import { callForeign } from "../util/foreign.ts";
import { ControlQueue } from "./control_queue.ts";
import { type Block, newBlock } from "./block.ts";
import type { SendQueue } from "./send_queue.ts";
import { sharedView } from "./shared_frame.ts";
import { flushAfterTurn } from "./flush_scheduler.ts";

/** Gets the reports of a write pump. */
export interface WriteSink {
  /** The kernel has taken bytes; called before the next write starts. */
  wrote(): void;
  /** The stream can't be written any more. */
  writeFailed(error: unknown): void;
}

// The most bytes that are written in one go to a transport that reports readiness. The rest waits for the next turn: a peer
// that takes everything, fed by a callback that always sends more, must not keep all other connections waiting.
const MOST_AT_ONCE = 256 * 1024;
// The most that is written within `send`, in one batch of received frames or one turn: a program that sends until `send`
// returns false must get that result even if the peer takes everything.
const MOST_BORROWED = 1024 * 1024;

/**
 * Moves blocks to the transport, with one write in flight at a time. Control frames have a queue of their own and are
 * written first, between blocks. So a ping waits for at most the block in flight, and is never written inside a frame.
 *
 * There are two kinds of transports. Some complete: `write` resolves with the number of bytes that the kernel has taken.
 * Others report readiness: `tryWrite` returns that number at once, and `whenWritable` calls back when there is room
 * again. Then a block counts as in flight while the rest of it waits for room.
 */
export class WritePump {
  /** While set, only control frames are written. */
  held = false;
  /** Bytes that the kernel has taken. */
  written = 0;

  readonly #queue: SendQueue;
  readonly #sink: WriteSink;
  #transport: Transport | null = null;
  #flying: Block | null = null;
  #completing = false; // the previous block ended inside a frame
  // Made when first needed, like the callbacks below: most connections of a large server are silent.
  #control: ControlQueue | null = null;
  #corked = false;
  #scheduled = false;
  #borrowed = 0; // bytes that were written as they were sent
  #stopped = false;
  #halfClosed = false;
  #onWritten: ((count: number) => void) | null = null;
  #onError: ((error: unknown) => void) | null = null;
  #onWritable: (() => void) | null = null;

  constructor(queue: SendQueue, sink: WriteSink) {
    this.#queue = queue;
    this.#sink = sink;
  }

  /** Bytes that the kernel has taken. If the transport counts them, those of an incomplete write are included. */
  get taken(): number {
    return this.#transport?.bytesTaken ?? this.written;
  }

  /** The queue of control frames. */
  get control(): ControlQueue {
    return this.#control ??= new ControlQueue();
  }

  /** Starts to write to a transport. */
  start(transport: Transport): void {
    this.#transport = transport;
    this.flush();
  }

  /** Whether a write is in flight. */
  get busy(): boolean {
    return this.#flying !== null;
  }

  /** Whether nothing can be written because sending is held, or the next message isn't ready. */
  get waiting(): boolean {
    return this.#flying === null && (this.held || this.#queue.blocked);
  }

  /** Whether the kernel has taken everything that was queued, or the pump was stopped. */
  get idle(): boolean {
    return this.#stopped || (this.#flying === null && this.#queue.empty && !this.#controlWaits());
  }

  /** Whether it was stopped for good. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Whether the kernel has taken the whole data queue. */
  get dataTaken(): boolean {
    const flying = this.#flying;
    return this.#queue.empty &&
      (flying === null || (flying.buffer === null && flying.payload === 0));
  }

  /** Whether the head of the queue continues a frame that is partly written. */
  get completing(): boolean {
    return this.#flying === null ? this.#completing : this.#flying.continues;
  }

  /** Holds writing while a batch of received frames is handled. */
  cork(): void {
    this.#corked = true;
  }

  /** Ends the batch, and writes the messages that were sent in it. */
  uncork(): void {
    this.#corked = false;
    this.flush();
  }

  /** Asks for a flush at the end of this turn. */
  schedule(): void {
    if (this.#scheduled || this.#corked || this.#flying !== null) return;
    this.#scheduled = true;
    flushAfterTurn(this);
  }

  /** Called at the end of the turn. */
  flushScheduled(): void {
    this.#scheduled = false;
    this.flush();
  }

  /** Starts the next write, unless one is in flight. */
  flush(): void {
    this.#borrowed = 0;
    if (this.#corked || this.#flying !== null || this.#transport === null || this.#stopped) return;
    const block = this.#next();
    if (block !== null) this.#begin(block);
  }

  /** Says why queued data isn't written; `null` if none is queued, or it is written in this turn. */
  whyNotWriting(): string | null {
    if (this.#flying !== null) return "a write is in flight: the kernel has not taken all of it";
    if (this.#controlWaits() || this.#queue.empty) return null;
    if (this.#transport === null) return "the handshake is not complete";
    if (this.held) return "pauseSending() was called";
    if (this.#queue.blocked) return "the next message is being compressed, or waits for its source";
    return null;
  }

  /** Ends our direction of the stream; the other one stays open. */
  endWriting(): void {
    if (this.#halfClosed || this.#transport === null) return;
    this.#halfClosed = true;
    const transport = this.#transport;
    callForeign(() => transport.closeWrite(), () => {});
  }

  /** Stops for good; the write in flight is left to the transport. */
  stop(): void {
    this.#stopped = true;
    this.#control?.clear();
    this.#control = null;
    this.#transport = null;
    this.#queue.drop(false);
    const flying = this.#flying;
    if (flying === null) return;
    this.#flying = null;
    // The transport may still be reading from the buffer, so it can't go back to the pool.
    flying.buffer = null;
    this.#queue.taken(flying);
  }

  #controlWaits(): boolean {
    return this.#control !== null && !this.#control.empty;
  }

  /** The next block to write, control frames first; `null` if there is none that may be written. */
  #next(): Block | null {
    if (this.#controlWaits() && !this.#completing) return rawBlock(this.#control!.take());
    // A frame that is partly written has to be completed even if sending is held.
    if (this.held && !this.#completing) return null;
    return this.#queue.shift();
  }

  /**
   * Bytes of a large message that may be written from its sender's memory: none if anything waits before it, or if the
   * transport doesn't copy them.
   */
  get borrowable(): number {
    return this.#transport !== null && this.#transport.borrows === true && !this.held &&
        this.#flying === null && this.#queue.empty && !this.#controlWaits()
      ? MOST_BORROWED - this.#borrowed
      : 0;
  }

  /** Writes what the kernel takes of a payload that was lent to the queue, and copies the rest. */
  writeLent(payload: Uint8Array, lent: number): void {
    const corked = this.#corked;
    this.#borrowed += Math.min(payload.length, lent);
    this.#corked = false;
    this.#begin(this.#next()!, lent);
    this.#corked = corked;
    this.#queue.keep(payload, this.#flying);
  }

  #begin(block: Block, most = MOST_AT_ONCE): void {
    this.#flying = block;
    this.#completing = block.continues;
    if (this.#transport!.tryWrite === undefined) this.#write(block);
    else this.#writeReady(block, most);
  }

  /** Writes the rest of the block in flight to a transport that completes. */
  #write(block: Block): void {
    this.#onWritten ??= (count) => this.#written(count);
    this.#onError ??= (error) => this.#failed(error);
    try {
      const taken: unknown = this.#transport!.write(rest(block));
      // A foreign stream may return anything, such as a thenable that calls back twice.
      const promise = taken instanceof Promise ? taken : Promise.resolve(taken as number);
      promise.then(this.#onWritten, this.#onError);
    } catch (error) {
      this.#failSoon(error);
    }
  }

  #written(count: number): void {
    const block = this.#flying;
    if (block === null || !this.#checked(count, 1, block)) return;
    if (this.#took(block, count)) this.#write(block);
    else this.flush();
  }

  /** Writes blocks to a transport that reports readiness, as long as the kernel takes them. */
  #writeReady(first: Block, most: number): void {
    const transport = this.#transport!;
    let block: Block | null = first, written = 0;
    while (block !== null) {
      let count = 0;
      if (written < most) {
        try {
          count = transport.tryWrite!(rest(block));
        } catch (error) {
          this.#failSoon(error);
          return;
        }
        if (!this.#checked(count, 0, block)) return;
      }
      written += count;
      if (count < block.end - block.start) {
        if (count > 0) this.#took(block, count);
        if (this.#flying === block) this.#awaitRoom(transport);
        return;
      }
      this.#took(block, count);
      // A callback may have begun a write, or stopped the pump.
      if (this.#corked || this.#flying !== null || this.#stopped) return;
      block = this.#next();
      if (block === null) return;
      this.#flying = block;
      this.#completing = block.continues;
    }
  }

  #awaitRoom(transport: Transport): void {
    this.#onWritable ??= () => {
      if (this.#flying !== null) this.#writeReady(this.#flying, MOST_AT_ONCE);
    };
    try {
      transport.whenWritable!(this.#onWritable);
    } catch (error) {
      this.#failSoon(error);
    }
  }

  /** Checks a transport's count: a wrong one would make us write for ever, or lose count. */
  #checked(count: number, least: number, block: Block): boolean {
    const most = block.end - block.start;
    if (Number.isInteger(count) && count >= least && count <= most) return true;
    this.#failSoon(
      new TypeError(`Cannot write to the transport: a write of ${most} bytes returned ${count}`),
    );
    return false;
  }

  /**
   * The kernel has taken `count` bytes of the block in flight.
   *
   * @returns Whether bytes are left, and the block is still in flight.
   */
  #took(block: Block, count: number): boolean {
    this.written += count;
    block.start += count;
    const left = block.end - block.start;
    if (left > 0) {
      // If a block is a single payload, or nearly so, its bytes leave the count as they are taken; otherwise with the
      // whole block.
      if (block.buffer === null && !block.compressed && block.payload > left) {
        this.#queue.bytes -= block.payload - left;
        block.payload = left;
      }
      this.#sink.wrote();
      return this.#flying === block;
    }
    this.#flying = null;
    this.#queue.taken(block);
    const corked = this.#corked;
    this.#corked = true;
    try {
      this.#sink.wrote();
    } finally {
      this.#corked = corked;
    }
    return false;
  }

  /** Fails in a microtask, so that the connection doesn't end within a flush. */
  #failSoon(error: unknown): void {
    queueMicrotask(() => this.#failed(error));
  }

  #failed(error: unknown): void {
    if (this.#stopped) return;
    this.#sink.writeFailed(error);
  }
}

/** The bytes of a block that are still to be written. */
function rest({ bytes, start, end, shared }: Block): Uint8Array {
  return shared
    ? sharedView(bytes, start, end)
    : start === 0 && end === bytes.length
    ? bytes
    : bytes.subarray(start, end);
}

function rawBlock(bytes: Uint8Array): Block {
  const block = newBlock(null, bytes, 0, bytes.length, 0);
  block.sealed = true;
  return block;
}
