import { abortError, InvalidStateError, type Message, QueueFullError } from "../errors.ts";
import type { MessageDeflater, MessageDeflaterOwner } from "../deflate/message_deflater.ts";
import { encodeControl } from "../flow/control_queue.ts";
import { drainAborted, DrainLatch } from "../flow/drain_latch.ts";
import { FlushWaiters } from "../flow/flush_waiters.ts";
import { SendQueue } from "../flow/send_queue.ts";
import type { SharedFrame } from "../flow/shared_frame.ts";
import { WritePump, type WriteSink } from "../flow/write_pump.ts";
import { encodeClosePayload } from "../protocol/close_code.ts";
import { CLOSE, FIN, PONG, RSV1, TEXT } from "../protocol/opcode.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import type { Timers } from "../util/timers.ts";
import { toBytes } from "../util/bytes.ts";
import { flag, group } from "../util/check.ts";
import type { PieceEncoder } from "./piece_encoder.ts";
import { preparedFrame, type PreparedMessage } from "./prepared_message.ts";
import { SendTimeout } from "./send_timeout.ts";
import type { Settings } from "./settings.ts";
import { type Trace, TracedQueue } from "./trace.ts";

/**
 * Options of a single `send`.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context({ compression: true });
 * const listener = ctx.listen({ hostname: "127.0.0.1", onMessage() {} });
 * const conn = ctx.connect(listener.url);
 * await conn.opened;
 * const image = new Uint8Array(100_000);
 * // Neither copied nor compressed; it is not to be changed any more.
 * conn.send(image, { transfer: true, compress: false });
 * await conn.flushed();
 * ```
 */
export interface SendOptions {
  /**
   * Hands the buffer over: large ones aren't copied, and must not be changed afterwards.
   *
   * @default {false}
   */
  transfer?: boolean;
  /**
   * Whether to compress the message, whatever its length; without an agreement on compression it has no effect.
   * Default: by `compression.threshold`.
   */
  compress?: boolean;
}

/** Checks the options of a `send`. */
export function checkSendOptions(options: SendOptions): void {
  group("send", "options", options, "an object");
  flag("send", "transfer", options.transfer, false);
  flag("send", "compress", options.compress, false);
}

/** What a sender needs of its connection. */
export interface SenderHost {
  readonly owner: { readonly timers: Timers };
  readonly settings: Settings;
  readonly trace: Trace | null;
  /** Whether messages may be sent: neither connecting nor closing. */
  readonly isOpen: boolean;
  /** The error of what was attempted on a connection that isn't open: not yet, or no more. */
  stateError(action: string, data?: unknown): Error;
  /** The queue is at or below the low-water mark again. */
  drained(): void;
  /** A message that was queued is compressed. */
  compressed(): void;
  /** The kernel has taken bytes; called before the next write starts. */
  wrote(): void;
  /** Nothing can be written any more. */
  writeFailed(error: unknown): void;
  /** The peer took nothing for `sendTimeout`. */
  sendTimedOut(): void;
  /** What was accepted can't be sent any more, although the stream is in order. */
  cannotSend(error: unknown): void;
  /**
   * A message from a source can't be completed, and nothing else can be said before it is.
   *
   * @param reported Whether that is news for the application.
   */
  failInternally(error: unknown, reported: boolean): void;
  /** The queue is at its limit, and the application chose to close then. */
  overflow(error: Error): void;
}

/** A message that is being sent in fragments. */
export interface Fragment {
  readonly encoder: PieceEncoder;
  /** Whether its first frame is queued. */
  started: boolean;
  /** Whether it goes compressed. */
  compressed: boolean;
}

/** The messages that are being sent from sources. */
export interface Streams {
  /** How many there are. */
  readonly size: number;
  /** The kernel has taken something: there may be room. */
  wake(): void;
  /** What is unfinished stays so. */
  abort(): void;
}

// Frames without payload would be free to pile up. So what they cost beside it is bounded too, by twice the limit; but
// this many frames, and places of messages that are being compressed, are always allowed.
const MIN_QUEUED_FRAMES = 1024;
const MIN_PLACES = 64;

/**
 * The sending half of a connection. It owns the send queue and the write pump, the deflater, the fragmented message
 * under way and the messages from sources, the drain latch, the send timeout, whether anything may still be sent, and
 * the counters of all that. It knows nothing of closing but how to queue a close frame.
 */
export class Sender implements WriteSink, MessageDeflaterOwner {
  readonly queue: SendQueue;
  readonly writer: WritePump;
  /** Gives masking keys; `null` for a server. */
  readonly nextKey: (() => number) | null;
  readonly settings: Settings;
  /** Compresses what is sent; `null` if that wasn't agreed. */
  deflater: MessageDeflater | null = null;
  /** The fragmented message under way. */
  fragment: Fragment | null = null;
  /** The messages that are being sent from sources. */
  streams: Streams | null = null;
  /**
   * Bytes of the queue's limit that are kept for the message from a source whose turn it is: what it has gathered, and
   * never nothing, or messages that fill the queue behind it could keep it from ever going on.
   */
  reserved = 0;
  /** Whether nothing can be sent any more, since our direction was shut down. */
  shut = false;
  messagesSent = 0;
  queueHighWater = 0;
  dropped = 0;

  readonly #host: SenderHost;
  // Made when first needed, for the sake of the many connections that are silent.
  #drain: DrainLatch | null = null;
  #timeout: SendTimeout | null = null;
  #flushes: FlushWaiters | null = null;
  #closeQueued = false;

  constructor(host: SenderHost, nextKey: (() => number) | null) {
    this.#host = host;
    this.settings = host.settings;
    this.nextKey = nextKey;
    this.queue = host.trace === null
      ? new SendQueue(nextKey)
      : new TracedQueue(nextKey, host.trace, () => this.whyNotWriting());
    this.writer = new WritePump(this.queue, this);
  }

  // ---- Messages ---------------------------------------------------------------------------------------------------

  /**
   * Sends a whole message.
   *
   * @param opcode Its type: text is sent as binary, and the reverse, if this says so.
   * @param owned Whether its buffer is ours to keep.
   * @returns Whether the queue is at or below the high-water mark.
   */
  send(data: Message, opcode: number, owned: boolean, compress?: boolean): boolean {
    this.#checkWhole(data);
    const { queue, deflater } = this;
    const room = this.room;
    if (deflater !== null && compress !== false) {
      return this.#sendCompressible(deflater, data, opcode, owned, compress, room);
    }
    if (typeof data === "string" && opcode === TEXT) {
      if (queue.pushText(FIN | TEXT, data, 1, room) < 0) return this.overflow(data);
    } else {
      const bytes = typeof data === "string" ? encodeUtf8(data) : toBytes(data);
      if (bytes.length > room) return this.overflow(data);
      queue.push(FIN | opcode, bytes, 1, owned);
    }
    return this.queued(1);
  }

  /** Sends a whole message if compression was agreed: compressed, unless it is too short for that. */
  #sendCompressible(
    deflater: MessageDeflater,
    data: Message,
    opcode: number,
    owned: boolean,
    compress: boolean | undefined,
    room: number,
  ): boolean {
    let bytes: Uint8Array;
    if (typeof data === "string") {
      if (data.length > room) return this.overflow(data);
      bytes = deflater.encode(data);
      owned = deflater.isOwn(bytes);
    } else {
      bytes = toBytes(data);
    }
    if (bytes.length > room) return this.overflow(data);
    if (deflater.wants(bytes.length, compress)) {
      deflater.push(FIN | RSV1 | opcode, bytes, true, owned);
    } else {
      this.queue.push(FIN | opcode, bytes, 1, owned);
    }
    return this.queued(1);
  }

  /** Sends a message that was encoded before, as `send` does any other. */
  sendPrepared(message: PreparedMessage, compress?: boolean): boolean {
    this.#checkWhole(message);
    const frame = preparedFrame(message);
    return this.fits(frame) ? this.accept(frame, compress) : this.overflow(message);
  }

  /** Whether messages can be sent, behind a fragmented one perhaps. */
  get isOpen(): boolean {
    return this.#host.isOpen && !this.shut;
  }

  /** Whether the queue has room for a frame. */
  fits(frame: SharedFrame): boolean {
    return frame.length <= this.room;
  }

  /**
   * Queues a frame that other connections have as well; in the middle of a fragmented message it waits for its end. The
   * sender must be open, and have room for the frame.
   *
   * @returns Whether the queue is at or below the high-water mark.
   */
  accept(frame: SharedFrame, compress?: boolean): boolean {
    const { queue, deflater, writer } = this;
    if (this.fragment !== null) queue.postpone(frame);
    else if (deflater !== null && deflater.wants(frame.length, compress)) {
      deflater.pushShared(frame, writer.busy);
    } else queue.pushShared(frame, writer.busy);
    return this.queued(1);
  }

  /**
   * The end of every send: counts what was added to the queue, and sees to it that it is written.
   *
   * @param messages How many messages it completes.
   * @returns Whether the queue is at or below the high-water mark.
   */
  queued(messages: number): boolean {
    const { settings } = this, { bytes } = this.queue;
    this.messagesSent += messages;
    if (bytes > settings.lowWaterMark) (this.#drain ??= new DrainLatch()).armed = true;
    if (bytes > this.queueHighWater) this.queueHighWater = bytes;
    if (settings.sendTimeout !== Infinity) (this.#timeout ??= new SendTimeout(this)).arm();
    this.writer.schedule();
    return bytes <= settings.highWaterMark;
  }

  // ---- Refusals ---------------------------------------------------------------------------------------------------

  /** Throws unless a whole message may be sent now. */
  #checkWhole(data: unknown): void {
    if (!this.#host.isOpen || this.shut || this.fragment !== null) this.refuse(data);
  }

  /** Throws unless something may be sent now. */
  checkOpen(action: string, data?: unknown): void {
    if (!this.isOpen) throw this.#host.stateError(action, data);
  }

  /** The error of what was attempted, or had begun, on a connection that isn't open. */
  stateError(action: string): Error {
    return this.#host.stateError(action);
  }

  /** A message from a source can't be completed. */
  failStream(error: unknown, reported: boolean): void {
    this.#host.failInternally(error, reported);
  }

  /** Throws what says why nothing can be sent now. */
  refuse(data: unknown): never {
    this.checkOpen("send", data);
    throw new InvalidStateError(
      "Cannot send in the middle of an unfinished fragmented message: end it with sendFragment(data, { final: true })",
      { data },
    );
  }

  /** The payload that the queue has room for; negative for not even an empty frame. */
  get room(): number {
    const { queue, settings: { maxQueueBytes } } = this;
    if (
      (queue.frames >= MIN_QUEUED_FRAMES || queue.places >= MIN_PLACES) &&
      queue.overhead >= 2 * maxQueueBytes
    ) return -1;
    return maxQueueBytes - queue.bytes - this.reserved;
  }

  /** The payload that the message from a source may add to what it has gathered. */
  get streamRoom(): number {
    const { maxQueueBytes } = this.settings;
    return maxQueueBytes - this.queue.bytes;
  }

  /** The error of a queue that is at its limit. */
  queueFull(data: unknown): QueueFullError {
    const { queue, reserved, settings } = this;
    const kept = reserved === 0 ? "" : `, and ${reserved} are kept for an unfinished sendStream`;
    return new QueueFullError(
      `Cannot queue the message: ${queue.bytes} of ${settings.maxQueueBytes} bytes are queued${kept}`,
      data,
    );
  }

  /** What is done with a message that doesn't fit, as `whenQueueFull` says. */
  overflow(data: unknown): false {
    const error = this.queueFull(data);
    switch (this.settings.whenQueueFull) {
      case "throw":
        throw error;
      case "drop":
        this.dropped++;
        return false;
      case "close":
        this.#host.overflow(error);
        return false;
    }
  }

  /** What is done with a part of a message that doesn't fit: it can't be dropped, for then the message had a hole. */
  overflowAmid(data: unknown): false {
    if (this.settings.whenQueueFull === "close") return this.overflow(data);
    throw this.queueFull(data);
  }

  // ---- Control frames ---------------------------------------------------------------------------------------------

  /** Sends a ping or pong that was asked for. */
  requestControl(opcode: number, payload: Uint8Array): void {
    this.#host.trace?.control("->", opcode, payload);
    this.writer.control.request(encodeControl(opcode, payload, this.#drawKey()));
    this.writer.schedule();
  }

  /** Answers a ping. */
  answerPing(payload: Uint8Array): void {
    // Behind our close frame nothing may follow (RFC 6455 5.5.1); while it waits in the queue, pongs may pass it.
    if (this.shut || this.writer.stopped || (this.#closeQueued && this.queue.empty)) return;
    if (!this.settings.answerPings) return;
    this.#host.trace?.control("->", PONG, payload);
    this.writer.control.answer(payload, this.#drawKey());
    this.writer.schedule();
  }

  /** Queues a close frame: what was sent before it goes out before it (RFC 6455 7.1.2). */
  pushClose(code: number, reason: string): void {
    this.#closeQueued = true;
    this.queue.pushUncounted(FIN | CLOSE, encodeClosePayload(code, reason));
    this.writer.held = false;
    this.writer.schedule();
  }

  #drawKey(): number | null {
    return this.nextKey === null ? null : this.nextKey();
  }

  // ---- Draining ---------------------------------------------------------------------------------------------------

  /** Promises that the queue is at or below the low-water mark. */
  drained(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(drainAborted(signal));
    if (this.writer.stopped) return Promise.reject(this.#drainError());
    if (this.queue.bytes <= this.settings.lowWaterMark) return Promise.resolve();
    return (this.#drain ??= new DrainLatch()).wait(signal);
  }

  /** Promises that the kernel has taken all that was sent so far. */
  flushed(signal: AbortSignal | undefined): Promise<void> {
    const aborted = () => abortError("The wait for the flush was aborted", signal!.reason);
    if (signal?.aborted) return Promise.reject(aborted());
    if (this.writer.stopped) return Promise.reject(this.#flushError());
    if (this.writer.dataTaken) return Promise.resolve();
    // Messages that have begun count with their end, and go out before what is sent behind them.
    const unfinished = (this.fragment === null ? 0 : 1) + (this.streams?.size ?? 0);
    return (this.#flushes ??= new FlushWaiters())
      .wait(this.messagesSent + unfinished, signal, aborted);
  }

  #checkFlushed(waiters: FlushWaiters): void {
    waiters.reached(this.writer.dataTaken ? Infinity : this.messagesSent - this.queue.messages);
  }

  #flushError(): Error {
    return this.#host.stateError("wait for the queue to be flushed");
  }

  /** How often the queue has drained. */
  get drains(): number {
    return this.#drain?.count ?? 0;
  }

  #checkDrained(latch: DrainLatch): void {
    if (this.queue.bytes > this.settings.lowWaterMark) return;
    this.#host.trace?.line("queue drained");
    latch.release(() => this.#host.drained());
  }

  #drainError(): Error {
    return this.#host.stateError("wait for the queue to drain");
  }

  // ---- Writing ----------------------------------------------------------------------------------------------------

  compressed(): void {
    this.writer.schedule();
    this.#host.compressed();
    this.#host.trace?.writing(this.whyNotWriting());
  }

  packFailed(error: unknown): void {
    this.#host.cannotSend(error);
  }

  wrote(): void {
    if (this.#drain !== null && this.#drain.armed) this.#checkDrained(this.#drain);
    if (this.#flushes !== null) this.#checkFlushed(this.#flushes);
    if (this.streams !== null) this.streams.wake();
    if (this.shut) this.#halfClose();
    this.#host.wrote();
  }

  /** Says why data that wait aren't written; `null` if none wait, or they go out with this turn. */
  whyNotWriting(): string | null {
    return this.writer.whyNotWriting();
  }

  writeFailed(error: unknown): void {
    this.#host.writeFailed(error);
  }

  /** For the send timeout. */
  get timers(): Timers {
    return this.#host.owner.timers;
  }

  /** For the send timeout. */
  sendTimedOut(): void {
    this.#host.sendTimedOut();
  }

  /** Holds data back, or lets them go on. */
  hold(on: boolean): void {
    this.writer.held = on;
    if (!on) this.writer.schedule();
    this.#host.trace?.writing(this.whyNotWriting());
  }

  // ---- The end ----------------------------------------------------------------------------------------------------

  /** Sends nothing any more: what is queued goes out, then our direction ends without a close frame. */
  shutDown(): void {
    this.shut = true;
    this.#halfClose();
  }

  #halfClose(): void {
    if (this.writer.idle) this.writer.endWriting();
  }

  /** Rejects those that wait for the queue to drain or to be flushed. */
  failWaits(): void {
    this.#drain?.fail(() => this.#drainError());
    this.#flushes?.fail(() => this.#flushError());
  }

  /** Drops the queue, but for what completes a frame that is half-way. */
  dropQueue(): void {
    this.queue.drop(this.writer.completing);
    this.deflater?.close();
  }

  /** Nothing can be written any more: what waits is dropped. */
  stopWriting(): void {
    this.#timeout?.stop();
    this.writer.stop();
    this.deflater?.close();
    this.streams?.abort();
    this.failWaits();
  }
}
