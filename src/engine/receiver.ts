import { isThenable } from "../util/foreign.ts";
import type { MessageIterator } from "./message_iterator.ts";
import type { Engine } from "./engine.ts";
import { ReceiveQueue } from "../flow/receive_queue.ts";
import type { MessageHeader } from "../protocol/message_header.ts";
import { FrameCallbacks } from "./frame_callbacks.ts";
import type { MessageStreamIterator } from "./message_stream_iterator.ts";
import type { Handlers } from "./handlers.ts";
import type { ReceivedMessage } from "../flow/receive_queue.ts";
import { BINARY, RSV1, RSV2, RSV3, TEXT } from "../protocol/opcode.ts";
import { FrameTap } from "../protocol/frame_tap.ts";

/** What holds the delivery of messages. */
export const PAUSED = 1;
/** The promise of `onConnect` is unsettled. */
export const IN_CONNECT = 2;
/** The promise of `onMessage` is unsettled. */
const IN_MESSAGE = 4;
/** There is neither an `onMessage` nor anyone who awaits a message. */
const NO_CONSUMER = 8;
/** The promise of a frame callback is unsettled. */
export const IN_FRAME = 16;
// What holds frames back where someone wants to see them: they can't be kept for later.
const FRAME_HOLDS = PAUSED | IN_CONNECT | IN_FRAME;

/**
 * Received messages on their way to the application: to `onMessage`, or to one who takes them. While something holds
 * them they wait in the inbox, and what may still be read ahead shrinks.
 */
export class Delivery {
  /** Reasons for which messages are held. */
  holdReasons: number;
  /** Those of `holds` that stop reading at once. */
  frameHoldReasons = 0;
  /** Whether messages are dropped: we have closed. */
  discarding = false;
  /** Messages received whole. */
  received = 0;
  /** Messages that were dropped. */
  undelivered = 0;
  inbox: ReceiveQueue | null = null;
  /** Who takes messages as streams. */
  incoming: MessageStreamIterator | null = null;
  /** Who takes messages one by one. */
  consumer: MessageIterator | null = null;

  readonly #engine: Engine;
  readonly #headers: boolean; // whether messages come with their headers
  #hooks: FrameCallbacks | null = null;
  #delivering = false;
  #takers: (() => void)[] | null = null;

  constructor(engine: Engine, handlers: Handlers) {
    this.#engine = engine;
    this.#headers = engine.settings.allowedRsv !== 0;
    this.holdReasons = engine.settings.assemble && handlers.onMessage === undefined
      ? NO_CONSUMER
      : 0;
  }

  /** Bytes that may still be read: any number while nothing holds messages, else what is left of `readAhead`. */
  get room(): number {
    if (this.holdReasons === 0 || this.discarding) return Infinity;
    if ((this.holdReasons & this.frameHoldReasons) !== 0) return 0;
    // Whoever awaits a message takes the next one, however large.
    if (this.#awaited && !this.paused) return Infinity;
    const { settings, assembler } = this.#engine;
    return settings.readAhead - (this.inbox?.bytes ?? 0) - (this.incoming?.bytes ?? 0) -
      assembler!.buffered;
  }

  /** Called with each message or the end, by those who await one; oldest first. */
  get waiters(): (() => void)[] {
    return this.#takers ??= [];
  }

  /** Whether someone awaits a message. */
  get #awaited(): boolean {
    return this.#takers !== null && this.#takers.length > 0;
  }

  /** Whether frames can't be decoded now, since those who want to see them are held. */
  get framesHeld(): boolean {
    return (this.holdReasons & this.frameHoldReasons) !== 0 && !this.discarding;
  }

  /** Whether someone looks at frames. */
  get observed(): boolean {
    return this.#hooks !== null;
  }

  /** Whether `pause` holds messages. */
  get paused(): boolean {
    return (this.holdReasons & PAUSED) !== 0;
  }

  /** Whether received messages still have to be delivered before the end is. */
  get unfinished(): boolean {
    return !this.discarding && (this.inbox?.length ?? 0) > 0 &&
      ((this.holdReasons & NO_CONSUMER) === 0 || this.#awaited);
  }

  /** Delivers a message, or keeps it; a view of the read buffer where `lent`. */
  message(data: ReceivedMessage, lent: boolean): void {
    this.received++;
    if (this.discarding) {
      this.undelivered++;
    } else if (this.holdReasons === 0 && (this.inbox === null || this.inbox.length === 0)) {
      this.#deliver(data, lent, this.#headers ? this.#header(data) : undefined);
    } else {
      this.#keep(lent ? (data as Uint8Array).slice() : data);
    }
  }

  #keep(data: ReceivedMessage): void {
    if (this.incoming !== null) this.incoming.whole(data);
    else {(this.inbox ??= new ReceiveQueue()).push(
        data,
        this.#headers ? this.#header(data) : undefined,
      );}
    if (this.#awaited && this.canTake()) this.waiters.shift()!();
    if (this.room <= 0) this.#engine.assembler!.frames.stopRequested = true;
  }

  #deliver(data: ReceivedMessage, lent: boolean, header: MessageHeader | undefined): void {
    const engine = this.#engine;
    let result;
    try {
      result = engine.handlers.onMessage!(engine.face, data, header);
    } catch (error) {
      engine.report(error);
      return;
    }
    if (isThenable(result)) {
      const source = lent ? engine.reader!.retain() : null;
      this.holdUntil(
        Promise.resolve(result).then(undefined, (error) => engine.report(error)).then(() => {
          if (source !== null) engine.reader!.release(source);
        }),
        IN_MESSAGE,
      );
    }
  }

  /** The header of a message that has just arrived, for an application that uses reserved bits. */
  #header(data: ReceivedMessage): MessageHeader {
    const { rsv, opaque } = this.#engine.assembler!;
    return {
      opcode: opaque || typeof data === "string" ? TEXT : BINARY,
      rsv1: (rsv & RSV1) !== 0,
      rsv2: (rsv & RSV2) !== 0,
      rsv3: (rsv & RSV3) !== 0,
    };
  }

  /** Delivers what waits, as far as nothing holds it. */
  resume(): void {
    if (this.#delivering) return;
    const engine = this.#engine;
    this.#delivering = true;
    engine.writer.cork();
    while (this.holdReasons === 0 && this.canTake()) {
      this.#deliver(this.take(), false, this.inbox!.header);
    }
    while (this.#awaited && this.canTake()) this.waiters.shift()!();
    this.incoming?.wake();
    if (engine.record !== null && !this.inbox?.length) this.endWaiters();
    this.#delivering = false;
    engine.writer.uncork();
    engine.delivered();
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

  /** Follows a change of callbacks. */
  handlersChanged(): void {
    const { settings, handlers } = this.#engine;
    this.hold(NO_CONSUMER, settings.assemble && handlers.onMessage === undefined);
    this.observe();
  }

  /** Looks at data frames, from when anyone wants to. */
  observe(): void {
    const { settings, handlers, assembler, trace } = this.#engine;
    const { onFrameStart, onFrameChunk, onFrameEnd } = handlers;
    const wanted = !settings.assemble ||
      (onFrameStart ?? onFrameChunk ?? onFrameEnd) !== undefined;
    if (wanted) this.frameHoldReasons = FRAME_HOLDS;
    if (assembler === null || this.#hooks !== null || !(wanted || trace)) return;
    const { frames } = assembler;
    this.#hooks = new FrameCallbacks(this.#engine, frames);
    frames.redirect(new FrameTap(assembler, this.#hooks, settings.assemble));
  }

  /** Gives messages to one who takes them as streams, those that wait first. */
  claimIncoming(incoming: MessageStreamIterator): void {
    const { handlers, settings, assembler } = this.#engine;
    if (handlers.onMessage !== undefined || this.consumer !== null || this.incoming !== null) {
      throw new TypeError(
        "Cannot iterate over a connection whose messages are being taken already",
      );
    }
    if (settings.lend) {
      throw new TypeError('Cannot iterate over a connection with payload "view": use "copy"');
    }
    this.incoming = incoming;
    if (assembler !== null) assembler.chunks = incoming;
    const { inbox } = this;
    if (inbox !== null) { while (inbox.length > 0) incoming.whole(this.take()); }
  }

  /** Whether a message waits that may be taken. */
  canTake(): boolean {
    return this.inbox !== null && this.inbox.length > 0 && !this.paused;
  }

  /** Takes the oldest message that waits; there must be one. */
  take(): ReceivedMessage {
    const { record } = this.#engine;
    if (record !== null) record.undelivered--;
    return this.inbox!.shift();
  }

  /** Tells those who await a message that there is none to come. */
  endWaiters(): void {
    for (const taker of this.#takers?.splice(0) ?? []) taker();
  }

  /** Drops what waits and what is to come, and ends a pause. */
  discard(): void {
    this.discarding = true;
    this.incoming?.discard();
    this.holdReasons &= ~PAUSED;
    if (this.#hooks !== null) this.#hooks.muted = true;
    this.undelivered += this.inbox?.clear() ?? 0;
  }
}
