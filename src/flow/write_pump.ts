import type { Transport } from "../transport/transport.ts";
import { ControlQueue } from "./control_queue.ts";
import type { Block, SendQueue } from "./send_queue.ts";
import { sharedView } from "./shared_frame.ts";
import { flushAfterTurn } from "./flush_scheduler.ts";

/** What the write pump reports. */
export interface WriteSink {
  /** The system has taken bytes; called before the next write starts. */
  wrote(): void;
  /** The stream can't be written any more. */
  writeFailed(error: unknown): void;
}

/**
 * Moves blocks to the transport, one write in flight. Control frames have a lane of their own and go first, between
 * blocks; so a ping waits for at most the block on its way, and never stands inside a frame.
 */
export class WritePump {
  /** While set, data wait and only control frames are written. */
  held = false;
  /** Bytes that the system has taken. */
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

  /** Starts to write to a transport, `first` before anything else. */
  start(transport: Transport, first: Uint8Array | null): void {
    this.#transport = transport;
    if (first !== null) this.#write(rawBlock(first));
    else this.flush();
  }

  /** Whether a write is in flight. */
  get busy(): boolean {
    return this.#flying !== null;
  }

  /** Whether nothing can be written although something is queued: it is not the peer who keeps us waiting. */
  get waiting(): boolean {
    return this.#flying === null && (this.held || this.#queue.blocked);
  }

  /** Whether everything queued has been taken by the system, or nothing can be any more. */
  get idle(): boolean {
    return this.#stopped || (this.#flying === null && this.#queue.empty && !this.#controlWaits());
  }

  /** Whether it was stopped for good. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Whether all of the data lane has been taken by the system. */
  get dataTaken(): boolean {
    const flying = this.#flying;
    return this.#queue.empty &&
      (flying === null || (flying.buffer === null && flying.payload === 0));
  }

  /** Whether the frame on its way, or half-way, needs the head of the queue to complete it. */
  get completing(): boolean {
    return this.#flying === null ? this.#completing : this.#flying.open;
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
    if (this.#controlWaits() && !this.#completing) {
      this.#write(rawBlock(this.#control!.take()));
      return;
    }
    // A frame that is half-way has to be completed even where data are held.
    if (this.held && !this.#completing) return;
    const block = this.#queue.shift();
    if (block !== null) this.#write(block);
  }

  /** Ends our direction, and leaves the other one open. */
  endWriting(): void {
    if (this.#halfClosed || this.#transport === null) return;
    this.#halfClosed = true;
    this.#transport.closeWrite().catch(() => {});
  }

  /** Stops for good; the write in flight is left to the transport. */
  stop(): void {
    this.#stopped = true;
    this.#control?.clear();
    this.#control = null;
    this.#transport = null;
    if (this.#flying !== null) {
      // The transport may still be reading from the buffer, so it can't go back to the pool.
      this.#flying.buffer = null;
      this.#queue.taken(this.#flying);
      this.#flying = null;
    }
    this.#queue.drop(false);
  }

  #controlWaits(): boolean {
    return this.#control !== null && !this.#control.empty;
  }

  #write(block: Block): void {
    this.#flying = block;
    this.#completing = block.open;
    this.#send(block);
  }

  #send(block: Block): void {
    this.#onWritten ??= (count) => this.#written(count);
    this.#onError ??= (error) => this.#failed(error);
    const { bytes, start, end } = block;
    const rest = block.shared
      ? sharedView(bytes, start, end)
      : start === 0 && end === bytes.length
      ? bytes
      : bytes.subarray(start, end);
    this.#transport!.write(rest).then(this.#onWritten, this.#onError);
  }

  #written(count: number): void {
    const block = this.#flying;
    if (block === null) return;
    this.written += count;
    block.start += count;
    if (block.start < block.end) {
      // In a block of its own every byte is payload, and nearly so in a shared one; elsewhere it counts until the whole
      // block is gone.
      const left = block.end - block.start;
      if (block.buffer === null && !block.packed && block.payload > left) {
        this.#queue.bytes -= block.payload - left;
        block.payload = left;
      }
      this.#sink.wrote();
      if (this.#flying === block) this.#send(block);
      return;
    }
    this.#flying = null;
    this.#queue.taken(block);
    this.cork();
    this.#sink.wrote();
    this.uncork();
  }

  #failed(error: unknown): void {
    if (this.#stopped) return;
    this.#sink.writeFailed(error);
  }
}

function rawBlock(bytes: Uint8Array): Block {
  return {
    buffer: null,
    bytes,
    start: 0,
    end: bytes.length,
    payload: 0,
    messages: 0,
    open: false,
    sealed: true,
    pending: false,
    packed: false,
    shared: false,
    next: null,
  };
}
