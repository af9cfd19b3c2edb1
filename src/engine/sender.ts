import { abortError, InvalidStateError, type Message, QueueFullError } from "../errors.ts";
import { MessageDeflater, type MessageDeflaterOwner } from "../deflate/message_deflater.ts";
import { encodeControl } from "../flow/control_queue.ts";
import { drainAborted, DrainLatch } from "../flow/drain_latch.ts";
import { FlushWaiters } from "../flow/flush_waiters.ts";
import { SendQueue } from "../flow/send_queue.ts";
import type { SharedFrame } from "../flow/shared_frame.ts";
import { WritePump, type WriteSink } from "../flow/write_pump.ts";
import type { Source } from "../protocol/source.ts";
import { encodeClosePayload } from "../protocol/close_code.ts";
import { CLOSE, FIN, PONG, RSV1, TEXT } from "../protocol/opcode.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import type { Timers } from "../util/timers.ts";
import type { Transport } from "../transport/transport.ts";
import { toBytes } from "../util/bytes.ts";
import { flag, group } from "../util/check.ts";
import type { PieceEncoder } from "./piece_encoder.ts";
import { preparedFrame, type PreparedMessage } from "./prepared_message.ts";
import { SendTimeout } from "./send_timeout.ts";
import type { HandshakeResult } from "./handshake_result.ts";
import type { Settings } from "./settings.ts";
import type { ConnectionStats } from "./stats.ts";
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
   * Whether to hand the buffer over: a large one then isn't copied, and must not be changed afterwards.
   *
   * @default {false}
   */
  transfer?: boolean;
  /**
   * Whether to compress the message regardless of its length. Without an agreement on compression it has no effect.
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

/** What a sender needs from its connection. */
export interface SenderHost {
  readonly owner: { readonly timers: Timers };
  readonly settings: Settings;
  readonly trace: Trace | null;
  /** Whether messages may be sent: neither connecting nor closing. */
  readonly isOpen: boolean;
  /** The error of an action on a connection that isn't open yet, or not any more. */
  stateError(action: string, data?: unknown): Error;
  /** The queue is at or below the low-water mark again. */
  drained(): void;
  /** A message that was queued is compressed. */
  compressed(): void;
  /** The kernel has taken bytes; called before the next write starts. */
  wrote(): void;
  /** Nothing can be written any more. */
  writeFailed(error: unknown): void;
  /** The peer has read nothing for `sendTimeout`. */
  sendTimedOut(): void;
  /** An accepted message can't be sent any more, although the stream works. */
  cannotSend(error: unknown): void;
  /**
   * A message from a source can't be completed, and no other can begin before it is.
   *
   * @param reported Whether the application has to learn of the error.
   */
  failInternally(error: unknown, reported: boolean): void;
  /** The queue is at its limit, and `whenQueueFull` is `"close"`. */
  overflow(error: Error): void;
}

/** What a sender counts. */
type SentStats = Pick<
  ConnectionStats,
  "messagesSent" | "bytesSent" | "queuedBytes" | "queueHighWater" | "drains" | "dropped"
>;

/** The counters of a connection that has sent nothing. */
export const NOTHING_SENT: SentStats = {
  messagesSent: 0,
  bytesSent: 0,
  queuedBytes: 0,
  queueHighWater: 0,
  drains: 0,
  dropped: 0,
};

/** A message that is being sent in fragments. */
export interface Fragment {
  readonly encoder: PieceEncoder;
  /** Whether its first frame is queued. */
  started: boolean;
  /** Whether it is compressed. */
  compressed: boolean;
}

/** The messages that are being sent from sources. */
export interface Streams {
  /** The number of these messages. */
  readonly size: number;
  /** The kernel has taken bytes: there may be room. */
  wake(): void;
  /** The connection closes: unfinished messages are abandoned. */
  abort(): void;
}

// Frames without payload don't count in bytes. So their overhead is bounded too, by twice the limit. This many frames, and
// this many placeholders of messages that are being compressed, are always allowed.
const MIN_QUEUED_FRAMES = 1024;
const MIN_PLACEHOLDERS = 64;

/** From this many bytes on a message is written as it is sent, rather than copied, if it can be. */
const LEAST_LENT = 128 * 1024;

/**
 * The sending half of a connection. It owns the send queue, the write pump, the deflater, the unfinished fragmented
 * message, the messages from sources, the drain latch, the send timeout, the end of our direction, and the counters of
 * sending. All it does for closing is to queue a close frame.
 */
export class Sender implements WriteSink, MessageDeflaterOwner {
  readonly queue: SendQueue;
  readonly writer: WritePump;
  /** Gives masking keys; `null` for a server. */
  readonly nextKey: (() => number) | null;
  readonly settings: Settings;
  /** Compresses messages; `null` if compression wasn't agreed. */
  deflater: MessageDeflater | null = null;
  /** The unfinished fragmented message. */
  fragment: Fragment | null = null;
  /** The messages that are being sent from sources. */
  streams: Streams | null = null;
  /**
   * The bytes of the queue's limit that are reserved for the current message from a source: those it has collected, and at
   * least a share. Without them, messages that fill the queue could block the source for ever.
   */
  reserved = 0;
  /** Whether nothing can be sent any more, since our direction was shut down. */
  shut = false;
  messagesSent = 0;
  dropped = 0;

  readonly #host: SenderHost;
  // Made when first needed, since most connections of a large server are silent.
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

  /** The handshake is complete. */
  start(transport: Transport, compression: HandshakeResult["compression"]): void {
    if (compression !== null && compression.deflate !== null) {
      const { threshold } = this.settings.compression!;
      this.deflater = new MessageDeflater(compression.deflate, threshold, this);
    }
    this.writer.start(transport);
  }

  /** Counters. */
  stats(): SentStats {
    return {
      messagesSent: this.messagesSent,
      bytesSent: this.writer.written,
      queuedBytes: this.queue.bytes,
      queueHighWater: this.queue.highWater,
      drains: this.#drain?.count ?? 0,
      dropped: this.dropped,
    };
  }

  // ---- Messages ---------------------------------------------------------------------------------------------------

  /**
   * Sends a whole message.
   *
   * @param opcode The type of the message; strings may be sent as binary, and bytes as text.
   * @param owned Whether the buffer is ours to keep.
   * @returns Whether the queue is at or below the high-water mark.
   */
  send(data: Message, opcode: number, owned: boolean, compress?: boolean): boolean {
    this.#checkWhole(data);
    const { queue, deflater } = this;
    if (deflater !== null && compress !== false) {
      return this.#sendCompressible(deflater, data, opcode, owned, compress, this.room);
    }
    if (typeof data === "string" && opcode === TEXT) {
      if (queue.defer(data, this.#deferrable)) return this.#deferred();
      if (queue.pushText(FIN | TEXT, data, 1, this.room) < 0) return this.overflow(data);
    } else {
      const bytes = typeof data === "string" ? encodeUtf8(data) : toBytes(data);
      if (bytes.length > this.room) return this.overflow(data);
      // The function that gets a trace may change the bytes, or what may be written, before they are written.
      const mayLend = bytes.length >= LEAST_LENT && !owned && this.nextKey === null &&
        this.#host.trace === null;
      const lent = mayLend ? this.writer.borrowable : 0;
      if (lent > 0) {
        queue.pushLent(FIN | opcode, bytes, 1, lent);
        this.writer.writeLent(bytes, lent);
      } else {
        queue.push(FIN | opcode, bytes, 1, owned);
      }
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

  /** Sends a message that was encoded before. */
  sendPrepared(message: PreparedMessage, compress?: boolean): boolean {
    this.#checkWhole(message);
    const frame = preparedFrame(message);
    return this.fits(frame) ? this.accept(frame, compress) : this.overflow(message);
  }

  /** Whether messages can be sent, perhaps only after an unfinished one. */
  get isOpen(): boolean {
    return this.#host.isOpen && !this.shut;
  }

  /** Whether the queue has room for a frame. */
  fits(frame: SharedFrame): boolean {
    return frame.length <= this.room;
  }

  /**
   * Queues a frame that is shared with other connections. If a fragmented message is unfinished, the frame waits for its
   * end. The sender must be open, and have room for the frame.
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
   * The end of every send: counts what was added to the queue, and schedules the write.
   *
   * @param messages The number of messages that it completes.
   * @returns Whether the queue is at or below the high-water mark.
   */
  queued(messages: number): boolean {
    const { settings } = this, { bytes } = this.queue;
    this.messagesSent += messages;
    if (bytes > settings.lowWaterMark) (this.#drain ??= new DrainLatch()).armed = true;
    if (bytes > this.queue.highWater) this.queue.highWater = bytes;
    if (settings.sendTimeout !== Infinity) (this.#timeout ??= new SendTimeout(this)).arm();
    this.writer.schedule();
    return bytes <= settings.highWaterMark;
  }

  /** Bytes up to which it makes no difference how many are queued, if any are. */
  get #deferrable(): number {
    const { lowWaterMark, highWaterMark, maxQueueBytes } = this.settings;
    if (lowWaterMark > 0 || this.reserved > 0 || this.queue.frames >= MIN_QUEUED_FRAMES) return 0;
    return Math.min(highWaterMark, maxQueueBytes);
  }

  /** The end of a send whose bytes aren't counted yet: there are some, and they are below the high-water mark. */
  #deferred(): true {
    this.messagesSent++;
    (this.#drain ??= new DrainLatch()).armed = true;
    if (this.settings.sendTimeout !== Infinity) (this.#timeout ??= new SendTimeout(this)).arm();
    this.writer.schedule();
    return true;
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

  /** The error of an action on a connection that isn't open. */
  stateError(action: string): Error {
    return this.#host.stateError(action);
  }

  /** A message from a source can't be completed. */
  failStream(error: unknown, reported: boolean): void {
    this.#host.failInternally(error, reported);
  }

  /** Throws an error that says why nothing can be sent now. */
  refuse(data: unknown): never {
    this.checkOpen("send", data);
    throw new InvalidStateError(
      "Cannot send in the middle of an unfinished fragmented message: end it with sendFragment(data, { final: true })",
      { data },
    );
  }

  /** The payload bytes that the queue has room for; negative if there is no room even for an empty frame. */
  get room(): number {
    const { queue, settings: { maxQueueBytes } } = this;
    if (
      (queue.frames >= MIN_QUEUED_FRAMES || queue.placeholders >= MIN_PLACEHOLDERS) &&
      queue.overhead >= 2 * maxQueueBytes
    ) return -1;
    return maxQueueBytes - queue.bytes - this.reserved;
  }

  /** The payload bytes that the message from a source may gather. */
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

  /** Handles a message that doesn't fit, as `whenQueueFull` says. */
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

  /** Handles a part of a message that doesn't fit. It can't be dropped: the message would have a hole. */
  overflowInMessage(data: unknown): false {
    if (this.settings.whenQueueFull === "close") return this.overflow(data);
    throw this.queueFull(data);
  }

  // ---- Control frames ---------------------------------------------------------------------------------------------

  /** Sends a ping or pong of the application or of keepalive. */
  requestControl(opcode: number, payload: Uint8Array): void {
    this.#host.trace?.control("->", opcode, payload);
    this.writer.control.request(encodeControl(opcode, payload, this.#drawKey()));
    this.writer.schedule();
  }

  /** Answers a ping. */
  answerPing(source: Source, start: number, end: number): void {
    // After our close frame nothing may follow (RFC 6455 5.5.1). While it waits in the queue, pongs may pass it.
    if (this.shut || this.writer.stopped || (this.#closeQueued && this.queue.empty)) return;
    if (!this.settings.answerPings) return;
    this.#host.trace?.control("->", PONG, source.bytes.subarray(start, end));
    this.writer.control.answer(source, start, end, this.#drawKey());
    this.writer.schedule();
  }

  /** Queues a close frame after all that was sent before (RFC 6455 7.1.2). */
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

  /** Resolves when the queue is at or below the low-water mark. */
  drained(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(drainAborted(signal));
    if (this.writer.stopped) return Promise.reject(this.#drainError());
    if (this.queue.bytes <= this.settings.lowWaterMark) return Promise.resolve();
    return (this.#drain ??= new DrainLatch()).wait(signal);
  }

  /** Resolves when the kernel has taken everything that was sent so far. */
  flushed(signal: AbortSignal | undefined): Promise<void> {
    const aborted = () => abortError("The wait for the flush was aborted", signal!.reason);
    if (signal?.aborted) return Promise.reject(aborted());
    if (this.writer.stopped) return Promise.reject(this.#flushError());
    if (this.writer.dataTaken) return Promise.resolve();
    // Unfinished messages are waited for to their end, since later messages are written after them.
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

  compressionFailed(error: unknown): void {
    this.#host.cannotSend(error);
  }

  wrote(): void {
    if (this.#drain !== null && this.#drain.armed) this.#checkDrained(this.#drain);
    if (this.#flushes !== null) this.#checkFlushed(this.#flushes);
    if (this.streams !== null) this.streams.wake();
    if (this.shut) this.#halfClose();
    this.#host.wrote();
  }

  /** Says why queued data isn't written; `null` if none is queued, or it is written in this turn. */
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

  /** Stops or resumes writing data frames. */
  hold(on: boolean): void {
    this.writer.held = on;
    if (!on) this.writer.schedule();
    this.#host.trace?.writing(this.whyNotWriting());
  }

  // ---- The end ----------------------------------------------------------------------------------------------------

  /** Stops sending: the queue is written, then our direction ends without a close frame. */
  shutDown(): void {
    this.shut = true;
    this.#halfClose();
  }

  #halfClose(): void {
    if (this.writer.idle) this.writer.endWriting();
  }

  /** Rejects the promises of `drained` and `flushed`. */
  failWaits(): void {
    this.#drain?.fail(() => this.#drainError());
    this.#flushes?.fail(() => this.#flushError());
  }

  /** Drops the queue, except for the rest of a frame that is partly written. */
  dropQueue(): void {
    this.queue.drop(this.writer.completing);
    this.deflater?.close();
  }

  /** Nothing can be written any more: the queue is dropped. */
  stopWriting(): void {
    this.#timeout?.stop();
    this.writer.stop();
    this.deflater?.close();
    this.streams?.abort();
    this.failWaits();
  }
}
