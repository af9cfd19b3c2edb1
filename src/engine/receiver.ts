import { FrameCallbacks } from "./frame_callbacks.ts";
import type { Face, Handlers } from "./handlers.ts";
import type { HandshakeResult } from "./handshake_result.ts";
import { FRAME_HOLDS, IN_MESSAGE, NO_CONSUMER, PAUSED } from "./holds.ts";
import { type Limited, RateLimit } from "./rate_limit.ts";
import type { Settings } from "./settings.ts";
import type { Trace } from "./trace.ts";
import { MessageInflater } from "../deflate/message_inflater.ts";
import type { ConnectionClosedError } from "../errors.ts";
import { type Loan, ReadPump, type ReadSink } from "../flow/read_pump.ts";
import { type ReceivedMessage, ReceiveQueue } from "../flow/receive_queue.ts";
import type { LiveCloseRecord } from "../protocol/close_record.ts";
import type { Source } from "../protocol/frame_decoder.ts";
import { FrameTap } from "../protocol/frame_tap.ts";
import {
  type ChunkSink,
  MessageAssembler,
  type MessageSink,
} from "../protocol/message_assembler.ts";
import type { MessageHeader } from "../protocol/message_header.ts";
import { BINARY, type Role, RSV1, RSV2, RSV3, TEXT } from "../protocol/opcode.ts";
import type { Transport } from "../transport/transport.ts";
import { isThenable } from "../util/foreign.ts";
import type { Timers } from "../util/timers.ts";

/** What receiving needs of its connection. */
export interface ReceiverHost {
  readonly role: Role;
  readonly settings: Settings;
  readonly owner: { readonly timers: Timers };
  readonly face: Face;
  readonly handlers: Handlers;
  readonly trace: Trace | null;
  /** Holds answers back while what one read has brought is handled. */
  readonly writer: { cork(): void; uncork(): void };
  /** The close record, once the connection has ended. */
  readonly record: LiveCloseRecord | null;
  /** Whether the peer's end of the stream is still waited for when its input is discarded. */
  readonly awaitsEnd: boolean;
  /** A ping, pong or close frame was received. */
  control(opcode: number, payload: Uint8Array): void;
  /** The peer's direction has ended. */
  inputEnded(): void;
  /** The stream can't be read any more. */
  readFailed(error: unknown): void;
  /** After the stream was gone: what could be delivered has been. */
  delivered(): void;
  /** What was received violates the protocol. */
  fail(error: unknown): void;
  close(code: number, reason: string): void;
  closedError(action: string): ConnectionClosedError;
  call(callback: () => unknown): Promise<void> | null;
  report(error: unknown): void;
}

/** A consumer that takes messages when it wants them, in place of `onMessage`. */
export interface Taker {
  /** Takes messages in pieces as they arrive; `null` for a consumer of whole ones. */
  readonly chunks: ChunkSink | null;
  /** What it holds of messages that it was given, in bytes. */
  readonly bytes: number;
  /** A message that came whole; `false` leaves it to the queue. */
  keep(data: ReceivedMessage): boolean;
  /** Looks again for what may be taken. */
  wake(): void;
  /** Drops what it holds and what comes: we have closed. */
  discard(): void;
}

/**
 * The receiving half of a connection: from the bytes of a read to `onMessage`, or to a consumer that takes messages.
 * While something holds messages they wait in the queue, and what may still be read ahead shrinks.
 */
export class Receiver implements ReadSink, MessageSink, Limited {
  /** Reasons for which messages are held. */
  holdReasons: number;
  /** Those of them that stop reading at once. */
  frameHoldReasons = 0;
  /** Whether messages are dropped: we have closed. */
  dropping = false;
  /** Messages received whole. */
  received = 0;
  /** Messages that were dropped. */
  undelivered = 0;

  readonly #host: ReceiverHost;
  #reader: ReadPump | null = null;
  #assembler: MessageAssembler | null = null;
  #queue: ReceiveQueue | null = null;
  #taker: Taker | null = null;
  #waiters: (() => void)[] | null = null;
  #limit: RateLimit | null = null; // lifted with the first close frame, ours or the peer's
  #frames: FrameCallbacks | null = null;
  #discarding = false; // input is dropped undecoded: the peer closed, we failed it, or the stream is gone
  #delivering = false;

  constructor(host: ReceiverHost) {
    this.#host = host;
    this.holdReasons = host.settings.assemble && host.handlers.onMessage === undefined
      ? NO_CONSUMER
      : 0;
  }

  /** The handshake is complete; nothing is read before the first `pull`. */
  start(
    transport: Transport,
    compression: HandshakeResult["compression"],
    early: Uint8Array | null,
  ): void {
    const { role, settings } = this.#host, { maxMessageSize } = settings;
    this.#assembler = new MessageAssembler(
      role,
      this,
      maxMessageSize,
      settings.lend,
      settings.allowedRsv,
      compression === null
        ? null
        : (sink) => new MessageInflater({ ...compression.inflate, maxMessageSize }, sink),
    );
    this.#observeFrames();
    this.#assembler.chunks = this.#taker === null ? null : this.#taker.chunks;
    this.#reader = new ReadPump(transport, this);
    if (early !== null && early.length > 0) this.#reader.prepend(early);
    if (settings.rateLimit !== null) this.#limit = new RateLimit(settings.rateLimit, this);
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

  /** How long reading has been stopped altogether, in ms. */
  get stalled(): number {
    return this.#reader === null ? 0 : this.#reader.stalled;
  }

  /** Goes on reading if it had to stop and needn't any more. */
  pull(): void {
    if (this.#reader !== null) this.#reader.pull();
  }

  /** Goes on, with the inflating of a message too, if there is room again. */
  readOn(): void {
    if (this.#reader === null) return;
    this.#assembler!.resume();
    if (this.readBudget() > 0) this.#reader.pull();
  }

  readBudget(): number {
    const wanted = this.#wanted();
    if (this.#limit === null || wanted <= 0) return wanted;
    return Math.min(wanted, this.#limit.room(this.#reader!.bytes));
  }

  #wanted(): number {
    if (this.#discarding) return this.#host.awaitsEnd ? Infinity : 0;
    return this.#assembler!.busy ? 0 : this.room;
  }

  /** Bytes that may still be read: any number while nothing holds messages, else what is left of `readAhead`. */
  get room(): number {
    if (this.holdReasons === 0 || this.dropping) return Infinity;
    if (this.#framesHeld) return 0;
    // Whoever awaits a message takes the next one, however large.
    if (this.#awaited && !this.paused) return Infinity;
    return this.#host.settings.readAhead - (this.#queue === null ? 0 : this.#queue.bytes) -
      (this.#taker === null ? 0 : this.#taker.bytes) - this.#assembler!.buffered;
  }

  /** Whether frames can't be decoded now, since the application that looks at them holds them. */
  get #framesHeld(): boolean {
    return (this.holdReasons & this.frameHoldReasons) !== 0 && !this.dropping;
  }

  consume(source: Source, start: number, end: number): number {
    if (this.#discarding) return end;
    if (this.#assembler!.busy || this.#framesHeld) return start;
    if (this.#limit !== null && this.#limit.dry) return start;
    const { writer } = this.#host, { frames } = this.#assembler!;
    let at = end;
    writer.cork();
    try {
      frames.stopRequested = false;
      at = frames.decode(source, start, end);
    } catch (error) {
      this.#host.fail(error);
    } finally {
      writer.uncork();
    }
    return this.#discarding ? end : at;
  }

  directReadTarget(): Uint8Array | null {
    // An application that looks at frames is lent the reader's buffer.
    return this.#discarding || this.#frames !== null ? null : this.#assembler!.landing();
  }

  consumedDirectly(count: number): void {
    if (this.#discarding) return;
    const { writer } = this.#host;
    writer.cork();
    try {
      this.#assembler!.landed(count);
    } catch (error) {
      this.#host.fail(error);
    } finally {
      writer.uncork();
    }
  }

  ended(): void {
    this.#host.inputEnded();
  }

  readFailed(error: unknown): void {
    this.#host.readFailed(error);
  }

  inflated(error: unknown): void {
    if (error !== null) this.#host.fail(error);
    this.readOn();
  }

  get owner(): { readonly timers: Timers } {
    return this.#host.owner;
  }

  unlimited(): void {
    this.pull();
  }

  /** Lends the buffer that is being handled to a callback, until `release`. */
  retain(): Loan {
    return this.#reader!.retain();
  }

  /** Takes back what `retain` has lent. */
  release(loan: Loan): void {
    this.#reader!.release(loan);
  }

  // ---- Messages ---------------------------------------------------------------------------------------------------

  message(data: ReceivedMessage, lent: boolean): void {
    if (this.#limit !== null && this.#limit.took()) this.#assembler!.frames.stopRequested = true;
    this.received++;
    if (this.dropping) {
      this.undelivered++;
    } else if (this.holdReasons === 0 && (this.#queue === null || this.#queue.length === 0)) {
      this.#deliver(data, lent, this.#header(data));
    } else {
      this.#keep(lent ? (data as Uint8Array).slice() : data);
    }
  }

  control(opcode: number, payload: Uint8Array): void {
    if (this.#limit !== null && this.#limit.took()) this.#assembler!.frames.stopRequested = true;
    this.#host.control(opcode, payload);
  }

  #keep(data: ReceivedMessage): void {
    if (this.#taker === null || !this.#taker.keep(data)) {
      (this.#queue ??= new ReceiveQueue()).push(data, this.#header(data));
    }
    if (this.#awaited && this.canTake()) this.#waiters!.shift()!();
    if (this.room <= 0) this.#assembler!.frames.stopRequested = true;
  }

  #deliver(data: ReceivedMessage, lent: boolean, header: MessageHeader | undefined): void {
    const host = this.#host;
    try {
      const result = host.handlers.onMessage!(host.face, data, header);
      if (isThenable(result)) this.#awaitCallback(result, lent ? this.retain() : null);
    } catch (error) {
      host.report(error);
    }
  }

  /** The promise of `onMessage` holds messages, and what it was lent. */
  #awaitCallback(result: PromiseLike<unknown>, loan: Loan | null): void {
    const settled = Promise.resolve(result).then(undefined, (error) => this.#host.report(error));
    this.holdUntil(
      loan === null ? settled : settled.then(() => this.release(loan)),
      IN_MESSAGE,
    );
  }

  /** The header of a message that has just arrived, for an application that uses reserved bits. */
  #header(data: ReceivedMessage): MessageHeader | undefined {
    if (this.#host.settings.allowedRsv === 0) return undefined;
    const { rsv, opaque } = this.#assembler!;
    return {
      opcode: opaque || typeof data === "string" ? TEXT : BINARY,
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

  /** Sets or clears a reason to hold messages. */
  hold(reason: number, on: boolean): void {
    if (on) {
      this.holdReasons |= reason;
    } else if ((this.holdReasons & reason) !== 0) {
      this.holdReasons &= ~reason;
      queueMicrotask(() => this.resume());
    }
  }

  /** Holds messages until a promise, which never rejects, has settled. */
  holdUntil(settled: PromiseLike<unknown>, reason: number): void {
    this.holdReasons |= reason;
    settled.then(() => {
      this.holdReasons &= ~reason;
      this.resume();
    });
  }

  /** Delivers what waits, as far as nothing holds it. */
  resume(): void {
    if (this.#delivering) return;
    const { record, writer } = this.#host;
    this.#delivering = true;
    writer.cork();
    try {
      while (this.holdReasons === 0 && this.canTake()) {
        this.#deliver(this.#shift(), false, this.#queue!.header);
      }
      while (this.#awaited && this.canTake()) this.#waiters!.shift()!();
      this.#taker?.wake();
      if (record !== null && this.waiting === 0) this.endWaiters();
    } finally {
      this.#delivering = false;
      writer.uncork();
    }
    this.pull();
    this.#host.delivered();
  }

  // ---- Callbacks --------------------------------------------------------------------------------------------------

  /** Follows a change of callbacks. */
  handlersChanged(): void {
    const { settings, handlers } = this.#host;
    this.hold(NO_CONSUMER, settings.assemble && handlers.onMessage === undefined);
    this.#observeFrames();
  }

  /** Looks at data frames, from when the application or a trace wants to. */
  #observeFrames(): void {
    const { settings, handlers, trace } = this.#host;
    const { onFrameStart, onFrameChunk, onFrameEnd } = handlers;
    const wanted = !settings.assemble ||
      (onFrameStart ?? onFrameChunk ?? onFrameEnd) !== undefined;
    if (wanted) this.frameHoldReasons = FRAME_HOLDS;
    const assembler = this.#assembler;
    if (assembler === null || this.#frames !== null || !(wanted || trace)) return;
    const { frames } = assembler;
    this.#frames = new FrameCallbacks(this.#host, this, frames);
    frames.redirect(new FrameTap(assembler, this.#frames, settings.assemble));
  }

  // ---- Taking -----------------------------------------------------------------------------------------------------

  /** Whether a consumer has claimed the messages. */
  get taken(): boolean {
    return this.#taker !== null;
  }

  /**
   * Gives the messages to one consumer, those that wait first.
   *
   * @param action What is attempted, for messages: `iterate over` …
   * @throws {TypeError} Beside `onMessage` or another consumer, or if there are no messages that could be kept.
   */
  claim(taker: Taker, action: string): void {
    const { handlers, settings } = this.#host;
    if (handlers.onMessage !== undefined) {
      throw new TypeError(
        `Cannot ${action} a connection whose messages are being taken by its onMessage callback`,
      );
    }
    if (settings.lend) {
      throw new TypeError(`Cannot ${action} a connection with payload "view": use "copy"`);
    }
    if (!settings.assemble) {
      throw new TypeError(`Cannot ${action} a connection with assemble: false: it has no messages`);
    }
    if (this.#taker !== null) {
      throw new TypeError(`Cannot ${action} a connection whose messages are being taken already`);
    }
    this.#taker = taker;
    const assembler = this.#assembler, queue = this.#queue;
    if (taker.chunks === null) return;
    if (assembler !== null) assembler.chunks = taker.chunks;
    if (queue !== null) { while (queue.length > 0) taker.keep(queue.shift()); }
  }

  /** Leaves the messages to others; does nothing for one who hasn't got them. */
  unclaim(taker: Taker): void {
    if (this.#taker === taker) this.#taker = null;
  }

  /** Called with each message or the end, by those who await one; oldest first. */
  get waiters(): (() => void)[] {
    return this.#waiters ??= [];
  }

  /** Whether someone awaits a message. */
  get #awaited(): boolean {
    return this.#waiters !== null && this.#waiters.length > 0;
  }

  /** Messages that wait to be delivered or taken. */
  get waiting(): number {
    return this.#queue === null ? 0 : this.#queue.length;
  }

  /** Whether a message waits that may be taken. */
  canTake(): boolean {
    return this.waiting > 0 && !this.paused;
  }

  /** Takes the oldest message that waits; there must be one. */
  take(): ReceivedMessage {
    const message = this.#shift();
    // There is room again: reading may go on.
    this.pull();
    return message;
  }

  #shift(): ReceivedMessage {
    const { record } = this.#host;
    if (record !== null) record.undelivered--;
    return this.#queue!.shift();
  }

  /** Tells those who await a message that there is none to come. */
  endWaiters(): void {
    for (const waiter of this.#waiters?.splice(0) ?? []) waiter();
    this.#taker?.wake();
  }

  /** The close record, once the connection has ended. */
  get record(): LiveCloseRecord | null {
    return this.#host.record;
  }

  /** Closes the connection. */
  close(code: number, reason: string): void {
    this.#host.close(code, reason);
  }

  /** The error of what was attempted on a connection that isn't open. */
  closedError(action: string): ConnectionClosedError {
    return this.#host.closedError(action);
  }

  // ---- Ending -----------------------------------------------------------------------------------------------------

  /** Whether received messages still have to be delivered before the end is. */
  get unfinished(): boolean {
    return !this.dropping && this.waiting > 0 &&
      ((this.holdReasons & NO_CONSUMER) === 0 || this.#awaited);
  }

  /** Drops the messages that wait and those to come, and ends a pause: we have closed. */
  dropMessages(): void {
    this.liftLimit();
    this.dropping = true;
    this.#taker?.discard();
    this.holdReasons &= ~PAUSED;
    if (this.#frames !== null) this.#frames.muted = true;
    if (this.#queue !== null) this.undelivered += this.#queue.clear();
    // What is left of a message that waited for room is inflated to be dropped.
    this.#assembler?.resume();
  }

  /** Drops what comes from now on undecoded: the peer has closed, or violated the protocol. */
  discardInput(): void {
    this.liftLimit();
    this.#discarding = true;
    if (this.#assembler === null) return;
    this.#assembler.frames.stopRequested = true;
    this.#assembler.close();
  }

  /** Reads nothing any more: the stream is gone. What waits may still be delivered. */
  stop(): void {
    this.discardInput();
    this.#reader?.stop();
  }

  /** What follows is only looked at for the peer's close frame, which must not have to wait. */
  liftLimit(): void {
    this.#limit?.stop();
    this.#limit = null;
  }
}
