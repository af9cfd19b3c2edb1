import type { Transport } from "../transport/transport.ts";
import { callForeign } from "../util/foreign.ts";
import { ControlQueue } from "./control_queue.ts";
import { type Block, newBlock, type SendQueue } from "./send_queue.ts";
import { sharedView } from "./shared_frame.ts";
import { flushAfterTurn } from "./flush_scheduler.ts";

/** What the write pump reports. */
export interface WriteSink {
  /** The kernel has taken bytes; called before the next write starts. */
  wrote(): void;
  /** The stream can't be written any more. */
  writeFailed(error: unknown): void;
}

// What a transport that reports readiness is given in one go. The next turn goes on: a peer that takes everything, fed by
// a callback that always has more, must not keep all others waiting.
const MOST_AT_ONCE = 256 * 1024;

/**
 * Moves blocks to the transport, one write in flight. Control frames have a queue of their own and go first, between
 * blocks; so a ping waits for at most the block on its way, and never comes inside a frame.
 *
 * There are two kinds of transport. One completes: `write` promises how much the kernel has taken. One reports readiness:
 * `tryWrite` says at once how much it has taken, and `whenWritable` when there is room again; then a block counts as in
 * flight while its rest waits for room.
 */
export class WritePump {
  /** While set, data wait and only control frames are written. */
  held = false;
  /** Bytes that the kernel has taken. */
  written = 0;

  readonly #queue: SendQueue;
  readonly #sink: WriteSink;
  #transport: Transport | null = null;
  #flying: Block | null = null;
  #completing = false; // the block before ended inside a frame
  // Like the callbacks below, made when first needed: most connections of a large server are silent.
  #control: ControlQueue | null = null;
  #corked = false;
  #scheduled = false;
  #stopped = false;
  #halfClosed = false;
  #onWritten: ((count: number) => void) | null = null;
  #onError: ((error: unknown) => void) | null = null;
  #onWritable: (() => void) | null = null;

  constructor(queue: SendQueue, sink: WriteSink) {
    this.#queue = queue;
    this.#sink = sink;
  }

  /** Bytes that the kernel has taken, those of a write that isn't complete included if the transport counts them. */
  get taken(): number {
    return this.#transport?.bytesTaken ?? this.written;
  }

  /** Control frames that wait. */
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

  /** Whether nothing can be written although something is queued, for reasons of our own. */
  get waiting(): boolean {
    return this.#flying === null && (this.held || this.#queue.blocked);
  }

  /** Whether everything queued has been taken by the kernel, or nothing can be any more. */
  get idle(): boolean {
    return this.#stopped || (this.#flying === null && this.#queue.empty && !this.#controlWaits());
  }

  /** Whether it was stopped for good. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Whether all of the data queue has been taken by the kernel. */
  get dataTaken(): boolean {
    const flying = this.#flying;
    return this.#queue.empty &&
      (flying === null || (flying.buffer === null && flying.payload === 0));
  }

  /** Whether the frame on its way, or half-way, needs the head of the queue to complete it. */
  get completing(): boolean {
    return this.#flying === null ? this.#completing : this.#flying.continues;
  }

  /** Holds writing back while a batch of received frames is handled. */
  cork(): void {
    this.#corked = true;
  }

  /** Ends the batch, and writes what it sent. */
  uncork(): void {
    this.#corked = false;
    if (this.#control !== null) this.#control.endBatch();
    this.flush();
  }

  /** Asks for a flush at the end of this turn. */
  schedule(): void {
    if (this.#scheduled || this.#corked || this.#flying !== null) return;
    this.#scheduled = true;
    flushAfterTurn(this);
  }

  /** For the end of the turn. */
  flushScheduled(): void {
    this.#scheduled = false;
    this.flush();
  }

  /** Starts the next write, unless one is in flight. */
  flush(): void {
    if (this.#corked || this.#flying !== null || this.#transport === null || this.#stopped) return;
    const block = this.#next();
    if (block !== null) this.#begin(block);
  }

  /** Says why data that wait aren't written; `null` if none wait, or they go out with this turn. */
  whyNotWriting(): string | null {
    if (this.#flying !== null) return "a write is in flight: the kernel has not taken all of it";
    if (this.#controlWaits() || this.#queue.empty) return null;
    if (this.#transport === null) return "the handshake is not complete";
    if (this.held) return "pauseSending() was called";
    if (this.#queue.blocked) return "the next message is being compressed, or waits for its source";
    return null;
  }

  /** Ends our direction, and leaves the other one open. */
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

  /** The next block to write, control frames first; `null` if there is none that may go. */
  #next(): Block | null {
    if (this.#controlWaits() && !this.#completing) return rawBlock(this.#control!.take());
    // A frame that is half-way has to be completed even if data are held.
    if (this.held && !this.#completing) return null;
    return this.#queue.shift();
  }

  #begin(block: Block): void {
    this.#flying = block;
    this.#completing = block.continues;
    if (this.#transport!.tryWrite === undefined) this.#write(block);
    else this.#writeReady(block);
  }

  /** Writes what is left of the block in flight to a transport that completes. */
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

  /** Writes block after block to a transport that reports readiness, while the kernel takes them. */
  #writeReady(first: Block): void {
    const transport = this.#transport!;
    let block: Block | null = first, written = 0;
    while (block !== null) {
      let count = 0;
      if (written < MOST_AT_ONCE) {
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
      // A callback may have begun a write, or ended all.
      if (this.#corked || this.#flying !== null || this.#stopped) return;
      block = this.#next();
      if (block === null) return;
      this.#flying = block;
      this.#completing = block.continues;
    }
  }

  #awaitRoom(transport: Transport): void {
    this.#onWritable ??= () => {
      if (this.#flying !== null) this.#writeReady(this.#flying);
    };
    try {
      transport.whenWritable!(this.#onWritable);
    } catch (error) {
      this.#failSoon(error);
    }
  }

  /** Whether a transport's answer makes sense; one that doesn't would make us write for ever, or lose count. */
  #checked(count: number, least: number, block: Block): boolean {
    const most = block.end - block.start;
    if (Number.isInteger(count) && count >= least && count <= most) return true;
    this.#failSoon(
      new TypeError(`Cannot write to a transport that says it took ${count} of ${most} bytes`),
    );
    return false;
  }

  /**
   * The kernel has taken `count` bytes of the block in flight.
   *
   * @returns Whether some are left, and the block is still in flight.
   */
  #took(block: Block, count: number): boolean {
    this.written += count;
    block.start += count;
    const left = block.end - block.start;
    if (left > 0) {
      // In a block of its own every byte is payload, and nearly so in a shared one; elsewhere it counts until the whole
      // block is gone.
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

  /** The caller of a flush needn't expect the connection to end within it. */
  #failSoon(error: unknown): void {
    queueMicrotask(() => this.#failed(error));
  }

  #failed(error: unknown): void {
    if (this.#stopped) return;
    this.#sink.writeFailed(error);
  }
}

/** What is left to write of a block. */
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
