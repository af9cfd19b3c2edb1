import { Checkpoints } from "./checkpoints.ts";
import { FrameCallbacks } from "./frame_callbacks.ts";
import type { Face, Handlers } from "./handlers.ts";
import type { HandshakeResult } from "./handshake_result.ts";
import { describeHolds, FRAME_HOLDS, IN_MESSAGE, NO_CONSUMER, PAUSED } from "./holds.ts";
import type { MessageConsumer } from "./message_consumer.ts";
import { type Limited, RateLimit } from "./rate_limit.ts";
import type { Settings } from "./settings.ts";
import type { Trace } from "./trace.ts";
import { MessageInflater } from "../deflate/message_inflater.ts";
import type { ConnectionClosedError } from "../errors.ts";
import { type Loan, ReadPump, type ReadSink } from "../flow/read_pump.ts";
import { type QueuedMessage, type ReceivedMessage, ReceiveQueue } from "../flow/receive_queue.ts";
import type { LiveCloseRecord } from "../protocol/close_record.ts";
import type { Source } from "../protocol/source.ts";
import { FrameTap } from "../protocol/frame_tap.ts";
import { MessageAssembler, type MessageSink } from "../protocol/message_assembler.ts";
import type { MessageHeader } from "../protocol/message_header.ts";
import { BINARY, type Role, RSV1, RSV2, RSV3, TEXT } from "../protocol/opcode.ts";
import type { Transport } from "../transport/transport.ts";
import { CHECKPOINT } from "../util/checkpoint.ts";
import { isThenable } from "../util/foreign.ts";
import type { Timers } from "../util/timers.ts";

const NO_RSV = { rsv1: false, rsv2: false, rsv3: false };
const PLAIN_TEXT: MessageHeader = { opcode: TEXT, ...NO_RSV };
const PLAIN_BINARY: MessageHeader = { opcode: BINARY, ...NO_RSV };

// Less room than this isn't worth a read for the reader of a stream.
const LEAST_CHUNK = 256;

// The time that handling a message or control frame takes apart from its bytes, in bytes handled in the same time.
const WEIGHT = 1024;
// The same for a message that is handed on as a stream of its own.
const STREAM_WEIGHT = 16 * 1024;

/** What receiving needs from its connection. */
export interface ReceiverHost {
  readonly role: Role;
  readonly settings: Settings;
  readonly owner: { readonly timers: Timers };
  readonly face: Face;
  readonly handlers: Handlers;
  readonly trace: Trace | null;
  /** What the handshake said; known before `start`. */
  readonly handshakeResult: HandshakeResult | null;
  /** Collects answers while the bytes of one read are handled, so that they are written together. */
  cork(): void;
  /** Writes the collected answers. */
  uncork(): void;
  /** The close record, once the connection has ended. */
  readonly record: LiveCloseRecord | null;
  /** Whether to read until the peer ends the stream while its input is discarded. */
  readonly awaitsEnd: boolean;
  /** A ping, pong or close frame was received; its payload, `source[start..end)`, is valid until this returns. */
  control(opcode: number, source: Source, start: number, end: number): void;
  /** The peer's direction has ended. */
  inputEnded(): void;
  /** The stream can't be read any more. */
  readFailed(error: unknown): void;
  /** Held messages have been delivered; of interest once the stream is closed. */
  delivered(): void;
  /** The received bytes violate the protocol. */
  fail(error: unknown): void;
  close(code: number, reason: string): void;
  closedError(action: string): ConnectionClosedError;
  call(callback: () => unknown): Promise<void> | null;
  report(error: unknown): void;
}

/**
 * The receiving half of a connection: from the bytes of a read to `onMessage`, or to a consumer that takes messages.
 * While there is a reason to hold messages they wait in the queue, and count against `readAhead`.
 */
export class Receiver implements ReadSink, MessageSink, Limited {
  /** Reasons for which messages are held. */
  holdReasons: number;
  /** Whether messages are dropped: we have closed. */
  dropping = false;
  /** Messages received whole. */
  received = 0;
  /** Messages that were dropped. */
  undelivered = 0;

  readonly #host: ReceiverHost;
  #reader: ReadPump | null = null;
  #assembler: MessageAssembler | null = null; // made for the first bytes: many connections are silent
  #queue: ReceiveQueue | null = null;
  #consumer: MessageConsumer | null = null;
  #limit: RateLimit | null = null; // removed with the first close frame, ours or the peer's
  #frames: FrameCallbacks | null = null;
  #full = false; // `readAhead` was used up, and half of it isn't free yet
  #discarding = false; // input is dropped undecoded: the peer closed, we failed, or the stream is closed
  #delivering = false;
  #checkpoints: Checkpoints | null = null;

  constructor(host: ReceiverHost) {
    this.#host = host;
    this.holdReasons = host.settings.assemble && host.handlers.onMessage === undefined
      ? NO_CONSUMER
      : 0;
  }

  /** The handshake is complete; nothing is read before the first `reschedule`. */
  start(transport: Transport, early: Uint8Array | null): void {
    const { rateLimit } = this.#host.settings;
    this.#reader = new ReadPump(transport, this);
    this.#observeFrames();
    if (early !== null && early.length > 0) this.#reader.prepend(early);
    if (rateLimit !== null) this.#limit = new RateLimit(rateLimit, this);
  }

  #assembling(): MessageAssembler {
    return this.#assembler ?? this.#makeAssembler();
  }

  #makeAssembler(): MessageAssembler {
    const { role, settings, handshakeResult } = this.#host, { maxMessageSize } = settings;
    const { compression } = handshakeResult!;
    const assembler = this.#assembler = new MessageAssembler(
      role,
      this,
      maxMessageSize,
      settings.viewPayloads,
      settings.allowedRsv,
      settings.textAsBytes,
      compression === null
        ? null
        : (sink) => new MessageInflater({ ...compression.inflate, maxMessageSize }, sink),
    );
    assembler.chunks = this.#consumer === null ? null : this.#consumer.chunks;
    return assembler;
  }

  // ---- Reading ----------------------------------------------------------------------------------------------------

  /** Whether a read is pending. */
  get reading(): boolean {
    return this.#reader !== null && this.#reader.reading;
  }

  /** Whether the stream may bring more. */
  get open(): boolean {
    return this.#reader !== null && this.#reader.open;
  }

  /** Bytes received. */
  get bytes(): number {
    return this.#reader === null ? 0 : this.#reader.bytes;
  }

  /** The total time in ms for which reading was stopped. */
  get stalled(): number {
    return this.#reader === null ? 0 : this.#reader.stalled;
  }

  /**
   * Decides again whether to read and to decode. To be called after every change of anything that `#budget` depends on.
   * Calling it more often than needed is harmless.
   */
  reschedule(): void {
    const reader = this.#reader, assembler = this.#assembler;
    if (reader === null) return;
    if (assembler !== null && assembler.busy) assembler.resume();
    const budget = this.#budget();
    if (assembler !== null && (budget <= 0 || this.#discarding)) {
      assembler.frames.stopRequested = true;
    }
    if (budget > 0) reader.pull();
    this.#host.trace?.reading(this.whyNotReading());
  }

  readBudget(): number {
    let budget = this.#budget();
    if (this.#limit !== null && budget > 0) {
      budget = Math.min(budget, this.#limit.room(this.#reader!.bytes));
    }
    this.#host.trace?.reading(this.whyNotReading());
    return budget;
  }

  /**
   * Bytes that may be read and decoded now, apart from the rate limit's allowance; 0 stops both. `#obstacle` says the
   * reason in words.
   */
  #budget(): number {
    if (this.#discarding) return this.#host.awaitsEnd ? Infinity : 0;
    if (this.#inflating || (this.#limit !== null && this.#limit.dry)) return 0;
    const { room } = this;
    if (room < this.#least) {
      this.#full = true;
      return 0;
    }
    // Hysteresis: a consumer that takes a little at a time must not make us read a little at a time.
    if (this.#full && 2 * room < this.#host.settings.readAhead) return 0;
    this.#full = false;
    return room;
  }

  /** Whether a message is being inflated in turns, or waits for room. */
  get #inflating(): boolean {
    return this.#assembler !== null && this.#assembler.busy;
  }

  /** The least room that is worth a read: the reader of a stream gets each read as a chunk, which must not be tiny. */
  get #least(): number {
    return this.#consumer === null || this.#consumer.chunks === null ? 1 : LEAST_CHUNK;
  }

  /**
   * To be called before a message is taken: almost full counts as full then. Otherwise a consumer as fast as the peer
   * would make us read only the room that a single message has left, again and again.
   */
  noteFill(): void {
    const { readAhead } = this.#host.settings;
    if (16 * (readAhead - this.#kept) < readAhead) this.#full = true;
  }

  /** Bytes that may still be kept: `Infinity` while nothing holds messages, else the rest of `readAhead`. */
  get room(): number {
    if (this.holdReasons === 0 || this.dropping) return Infinity;
    if (this.framesHeld) return 0;
    if (this.#consumer !== null && this.#consumer.awaits && !this.paused) return Infinity;
    return this.#host.settings.readAhead - this.#kept;
  }

  /** Received bytes that are kept. */
  get #kept(): number {
    return (this.#queue === null ? 0 : this.#queue.bytes) +
      (this.#consumer === null ? 0 : this.#consumer.bytes) +
      (this.#assembler === null ? 0 : this.#assembler.buffered);
  }

  /** Whether no frame may be decoded now, since the application has frame callbacks and holds frames. */
  get framesHeld(): boolean {
    return this.#frames !== null && this.#frames.shown && !this.dropping &&
      (this.holdReasons & FRAME_HOLDS) !== 0;
  }

  /** Says why nothing is being read; `null` if a read is pending, or nothing stops one. */
  whyNotReading(): string | null {
    if (this.#reader === null) return "the handshake is not complete";
    if (!this.#reader.open) return "the stream has ended";
    return this.#reader.reading ? null : this.#obstacle();
  }

  /** The reason for which `#budget` is 0, in words; `null` if it isn't. */
  #obstacle(): string | null {
    if (this.#discarding) {
      return this.#host.awaitsEnd
        ? null
        : "both close frames are exchanged, and the stream is ours to close";
    }
    if (this.#inflating) {
      return (this.#assembler!.chunks?.room ?? Infinity) > 0
        ? "a compressed message is being inflated"
        : "a compressed message waits until its stream is read";
    }
    if (this.#limit !== null && this.#limit.dry) return "the rate limit is used up";
    if (this.framesHeld) return describeHolds(this.holdReasons & FRAME_HOLDS);
    const { room } = this, { readAhead } = this.#host.settings, full = room < this.#least;
    if (!full && !(this.#full && 2 * room < readAhead)) return null;
    const state = full ? "is full" : "was full, and half of it isn't free";
    return `readAhead (${readAhead} bytes) ${state}: ${describeHolds(this.holdReasons)}`;
  }

  consume(source: Source, start: number, end: number): number {
    if (this.#discarding) return end;
    if (this.#budget() <= 0) return start;
    const host = this.#host, { frames } = this.#assembling();
    let at = end;
    host.cork();
    try {
      frames.stopRequested = false;
      at = frames.decode(source, start, end);
    } catch (error) {
      host.fail(error);
    } finally {
      this.#endRead();
    }
    return this.#discarding ? end : at;
  }

  directReadTarget(): Uint8Array | null {
    // Frame callbacks get views of the reader's buffer.
    if (this.#discarding || this.#frames !== null || this.#assembler === null) return null;
    return this.#assembler.directReadTarget();
  }

  consumedDirectly(count: number): void {
    if (this.#discarding) return;
    const host = this.#host;
    host.cork();
    try {
      this.#assembler!.consumeDirect(count);
    } catch (error) {
      host.fail(error);
    } finally {
      this.#endRead();
    }
  }

  #endRead(): void {
    this.#checkpoints?.begin(this.waiting);
    this.#uncork();
  }

  #uncork(): void {
    if (this.#checkpoints === null || !this.#checkpoints.midBatch) this.#host.uncork();
  }

  inputEnded(): void {
    this.#host.inputEnded();
  }

  readFailed(error: unknown): void {
    this.#host.readFailed(error);
  }

  inflated(error: unknown): void {
    if (error !== null) this.#host.fail(error);
    this.reschedule();
  }

  get owner(): { readonly timers: Timers } {
    return this.#host.owner;
  }

  unlimited(): void {
    this.reschedule();
  }

  /** Keeps the buffer that is being handled from reuse, until `release`. */
  retain(): Loan {
    return this.#reader!.retain();
  }

  /** Ends what `retain` began: the buffer may be used again. */
  release(loan: Loan): void {
    this.#reader!.release(loan);
  }

  // ---- Messages ---------------------------------------------------------------------------------------------------

  message(data: ReceivedMessage, isView: boolean): void {
    this.count();
    if (this.dropping) return;
    if (this.holdReasons === 0 && (this.#queue === null || this.#queue.length === 0)) {
      this.#deliver(data, isView, this.#header(data));
      return;
    }
    const kept = isView ? (data as Uint8Array).slice() : data;
    this.keep(this.#consumer === null ? kept : this.#consumer.wrap(kept), this.#header(data));
  }

  control(opcode: number, source: Source, start: number, end: number): void {
    this.#spend(WEIGHT);
    if (this.#limit !== null && this.#limit.took()) this.reschedule();
    this.#host.control(opcode, source, start, end);
  }

  /**
   * Counts a message that has been received to its end.
   *
   * @param queued Whether it was queued before its end, so that dropping it is counted with the queue.
   */
  count(queued = false): void {
    this.received++;
    this.#spend(this.#consumer === null || this.#consumer.chunks === null ? WEIGHT : STREAM_WEIGHT);
    if (this.dropping && !queued) this.undelivered++;
    if (this.#limit !== null && this.#limit.took()) this.reschedule();
  }

  /** Charges the time that a message or control frame takes however small it is. */
  #spend(weight: number): void {
    if (this.#reader!.spend(weight)) this.#assembler!.frames.stopRequested = true;
  }

  /** Queues a message, or one whose pieces are still to come. */
  keep(message: QueuedMessage, header?: MessageHeader): void {
    (this.#queue ??= new ReceiveQueue()).push(message, header);
    this.#consumer?.wake();
    this.reschedule();
  }

  #deliver(data: ReceivedMessage, isView: boolean, header: MessageHeader | undefined): void {
    const host = this.#host;
    try {
      const result = host.handlers.onMessage!(host.face, data, header);
      if (result === CHECKPOINT && !isView) this.#awaitCheckpoint();
      else if (isThenable(result)) this.#awaitCallback(result, isView ? this.retain() : null);
    } catch (error) {
      host.report(error);
    }
  }

  /** Holds messages until the promise of `onMessage` settles, and the buffer until then. */
  #awaitCallback(result: PromiseLike<unknown>, loan: Loan | null): void {
    const settled = Promise.resolve(result).then(undefined, (error) => this.#host.report(error));
    this.holdUntil(
      loan === null ? settled : settled.then(() => this.release(loan)),
      IN_MESSAGE,
    );
  }

  #awaitCheckpoint(): void {
    this.#checkpoints ??= new Checkpoints(() => this.#release(IN_MESSAGE));
    this.#checkpoints.await();
    this.hold(IN_MESSAGE);
  }

  /** The header of a message, for an application that uses reserved bits or gets text as bytes. */
  #header(data: ReceivedMessage): MessageHeader | undefined {
    const { allowedRsv, textAsBytes } = this.#host.settings;
    if (allowedRsv === 0 && !textAsBytes) return undefined;
    const { rsv, opaque } = this.#assembler!;
    const text = opaque || typeof data === "string";
    if (allowedRsv === 0) return text ? PLAIN_TEXT : PLAIN_BINARY;
    return {
      opcode: text ? TEXT : BINARY,
      rsv1: (rsv & RSV1) !== 0,
      rsv2: (rsv & RSV2) !== 0,
      rsv3: (rsv & RSV3) !== 0,
    };
  }

  // ---- Holding ----------------------------------------------------------------------------------------------------

  /** Whether `pause` holds messages. */
  get paused(): boolean {
    return (this.holdReasons & PAUSED) !== 0;
  }

  /** Holds messages, until every reason to do so is lifted. */
  hold(reason: number): void {
    this.#setHolds(this.holdReasons | reason);
    this.reschedule();
  }

  /** Lifts a reason to hold messages. Those that wait are delivered in a microtask, so the caller may hold them again. */
  lift(reason: number): void {
    if ((this.holdReasons & reason) === 0) return;
    this.#setHolds(this.holdReasons & ~reason);
    queueMicrotask(() => this.deliverHeld());
  }

  /** Holds messages until a promise, which never rejects, has settled. */
  holdUntil(settled: PromiseLike<unknown>, reason: number): void {
    this.hold(reason);
    settled.then(() => this.#release(reason));
  }

  #release(reason: number): void {
    this.#setHolds(this.holdReasons & ~reason);
    this.deliverHeld();
  }

  #setHolds(reasons: number): void {
    if (reasons === this.holdReasons) return;
    this.holdReasons = reasons;
    this.#host.trace?.line(reasons === 0 ? "not held" : `held: ${describeHolds(reasons)}`);
  }

  /** Delivers the messages that wait, until something holds them. */
  deliverHeld(): void {
    if (this.#delivering) return;
    const host = this.#host, { record } = host;
    this.#delivering = true;
    host.cork();
    try {
      this.#frames?.goOn();
      // After onClose no message is delivered, even to an onMessage that is set then. A consumer may still take them.
      while (this.holdReasons === 0 && this.waiting > 0 && record === null) {
        this.#checkpoints?.took();
        const message = this.take() as ReceivedMessage;
        this.#deliver(message, false, this.#queue!.header);
      }
      this.#consumer?.wake();
    } finally {
      this.#delivering = false;
      this.#uncork();
    }
    this.#checkpoints?.begin(this.waiting);
    this.reschedule();
    host.delivered();
  }

  // ---- Callbacks --------------------------------------------------------------------------------------------------

  /** Follows a change of callbacks. */
  handlersChanged(): void {
    const { settings, handlers } = this.#host;
    if (settings.assemble && handlers.onMessage === undefined) this.hold(NO_CONSUMER);
    else this.lift(NO_CONSUMER);
    this.#observeFrames();
  }

  /** Starts to observe data frames if the application or a trace wants them. */
  #observeFrames(): void {
    const { settings, handlers, trace } = this.#host;
    const { onFrameStart, onFrameChunk, onFrameEnd } = handlers;
    const shown = !settings.assemble || (onFrameStart ?? onFrameChunk ?? onFrameEnd) !== undefined;
    if (this.#reader === null || !(shown || trace)) return;
    if (this.#frames === null) {
      const assembler = this.#assembling(), { frames } = assembler;
      this.#frames = new FrameCallbacks(this.#host, this, frames);
      frames.redirect(new FrameTap(assembler, this.#frames, settings.assemble));
    }
    if (shown) this.#frames.shown = true;
  }

  // ---- Taking -----------------------------------------------------------------------------------------------------

  /** Whether a consumer has claimed the messages. */
  get claimed(): boolean {
    return this.#consumer !== null;
  }

  /**
   * Gives the messages to one consumer, those that wait first.
   *
   * @param action The attempted action for error messages, such as `iterate over`.
   * @throws {TypeError} If there is an `onMessage` or another consumer, or no messages that could be kept.
   */
  claim(consumer: MessageConsumer, action: string): void {
    const { handlers, settings } = this.#host;
    if (handlers.onMessage !== undefined) {
      throw new TypeError(
        `Cannot ${action} a connection whose messages are being taken by its onMessage callback`,
      );
    }
    if (settings.viewPayloads) {
      throw new TypeError(`Cannot ${action} a connection with payload "view": use "copy"`);
    }
    if (!settings.assemble) {
      throw new TypeError(`Cannot ${action} a connection with assemble: false: it has no messages`);
    }
    if (this.#consumer !== null) {
      throw new TypeError(`Cannot ${action} a connection whose messages are being taken already`);
    }
    this.#consumer = consumer;
    if (this.dropping) consumer.discard();
    if (consumer.chunks === null) return;
    this.#queue?.map((message) => consumer.wrap(message as ReceivedMessage));
    if (this.#assembler !== null) this.#assembler.chunks = consumer.chunks;
  }

  /** Leaves the messages to other consumers. Does nothing if the consumer hasn't claimed them. */
  unclaim(consumer: MessageConsumer): void {
    if (this.#consumer !== consumer) return;
    this.#consumer = null;
    if (consumer.chunks !== null) this.#queue?.map((message) => consumer.restore(message));
  }

  /** The number of messages that wait to be delivered or taken. */
  get waiting(): number {
    return this.#queue === null ? 0 : this.#queue.length;
  }

  /** Whether there is a message that may be taken now. */
  get canTake(): boolean {
    return this.waiting > 0 && !this.paused;
  }

  /** Takes the oldest message that waits; there must be one. The caller then has to call `reschedule`. */
  take(): QueuedMessage {
    this.noteFill();
    const { record } = this.#host;
    if (record !== null) record.undelivered--;
    return this.#queue!.shift();
  }

  /** A message that was taken is dropped: its consumer has left before it got the message. */
  dropTaken(): void {
    const { record } = this.#host;
    if (record !== null) record.undelivered++;
    else this.undelivered++;
  }

  /** The close record, once the connection has ended. */
  get record(): LiveCloseRecord | null {
    return this.#host.record;
  }

  /** Whether there is no message left to take, and none will come. */
  get exhausted(): boolean {
    return this.#host.record !== null && this.waiting === 0;
  }

  /** Closes the connection. */
  close(code: number, reason: string): void {
    this.#host.close(code, reason);
  }

  /** The error of an action on a connection that isn't open. */
  closedError(action: string): ConnectionClosedError {
    return this.#host.closedError(action);
  }

  // ---- Ending -----------------------------------------------------------------------------------------------------

  /** Whether received messages still have to be delivered before `onClose`. */
  get unfinished(): boolean {
    if (this.dropping) return false;
    if (this.#checkpoints !== null && this.#checkpoints.awaited) return true;
    if (this.#frames !== null && this.#frames.unfinished) return true;
    return this.waiting > 0 &&
      ((this.holdReasons & NO_CONSUMER) === 0 ||
        (this.#consumer !== null && this.#consumer.awaits));
  }

  /** The connection has ended: no message will come. */
  ended(): void {
    if (this.#frames !== null) this.#frames.muted = true;
    this.#consumer?.wake();
  }

  /** Drops the messages that wait and all later ones, and ends a pause: we have closed. */
  dropMessages(): void {
    this.liftLimit();
    this.dropping = true;
    this.#setHolds(this.holdReasons & ~PAUSED);
    if (this.#queue !== null) this.undelivered += this.#queue.clear();
    this.#consumer?.discard();
    if (this.#frames !== null) this.#frames.muted = true;
    // The rest of a compressed message that waited for room has to be inflated before it is dropped.
    this.#assembler?.resume();
  }

  /** Drops all further input undecoded: the peer has closed, or violated the protocol. */
  discardInput(): void {
    this.liftLimit();
    this.#discarding = true;
    if (this.#assembler === null) return;
    this.#assembler.frames.stopRequested = true;
    this.#assembler.close();
  }

  /** Stops reading: the stream is closed. Messages that wait may still be delivered. */
  stop(): void {
    this.discardInput();
    this.#reader?.stop();
  }

  /** Removes the rate limit: only the peer's close frame is of interest now, and must not be delayed. */
  liftLimit(): void {
    this.#limit?.stop();
    this.#limit = null;
  }
}
