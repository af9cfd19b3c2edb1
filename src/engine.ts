import { type CloseRecord, closeRecord } from "./close_record.ts";
import type { Connection, ConnectionStats } from "./connection.ts";
import type { Consumer } from "./consumer.ts";
import { MessageInflater } from "./deflate/message_inflater.ts";
import type { CodecSettings } from "./deflate/negotiation.ts";
import { Packer, type PackerOwner } from "./deflate/packer.ts";
import { abortError, ConnectionClosedError, TimeoutError } from "./errors.ts";
import { encodeControl } from "./flow/control_lane.ts";
import { Inbox, type MessageHeader } from "./flow/inbox.ts";
import { ReadPump, type ReadSink } from "./flow/read_pump.ts";
import { SendQueue } from "./flow/send_queue.ts";
import { WritePump, type WriteSink } from "./flow/write_pump.ts";
import type { Incoming } from "./incoming.ts";
import { KeepAlive, type KeptAlive } from "./keep_alive.ts";
import { FrameHooks } from "./frame_hooks.ts";
import type { ConnectionHandlers, ReceivedMessage, Settings } from "./options.ts";
import { freshPayload, Pings } from "./pings.ts";
import {
  ABNORMAL,
  decodeClosePayload,
  encodeClosePayload,
  INTERNAL_ERROR,
  TRY_AGAIN_LATER,
} from "./protocol/close_code.ts";
import { Closing } from "./protocol/closing.ts";
import type { Source } from "./protocol/frame_decoder.ts";
import { randomKey } from "./protocol/mask.ts";
import { MessageAssembler, type MessageSink } from "./protocol/message_assembler.ts";
import {
  BINARY,
  CLOSE,
  FIN,
  PING,
  PONG,
  type Role,
  RSV1,
  RSV2,
  RSV3,
  TEXT,
} from "./protocol/opcode.ts";
import { ProtocolError } from "./protocol/protocol_error.ts";
import type { SendStreams } from "./send_stream.ts";
import { SendTimeout } from "./send_timeout.ts";
import { NO_MORE, type OpenMessage } from "./sender.ts";
import { Alarm, type Timers } from "./timers.ts";
import type { Topics } from "./topics.ts";
import { Trace, TracedQueue } from "./trace.ts";
import type { Transport } from "./transport/transport.ts";

/** The state of a connection; it only ever moves to the right. */
export type ConnectionState = "connecting" | "open" | "closing" | "closed";

/** What holds the delivery of messages. */
export const PAUSED = 1;
const IN_CONNECT = 2; // onConnect's promise is unsettled
const IN_MESSAGE = 4; // onMessage's promise is unsettled
const NO_TAKER = 8; // neither onMessage nor anyone who awaits a message
/** The promise of a frame callback is unsettled. */
export const IN_FRAME = 16;
// What holds frames back where someone wants to see them: they can't be kept for later.
const FRAME_HOLDS = PAUSED | IN_CONNECT | IN_FRAME;

/** What an engine needs of whoever made it. */
export interface Owner {
  readonly timers: Timers;
  readonly topics: Topics;
  /** The handshake is complete. */
  opened(engine: Engine): void;
  /** The connection has ended, whatever its state was. */
  closed(engine: Engine): void;
}

/** What the handshake said. */
export interface HandshakeFacts {
  readonly url: string;
  readonly protocol: string;
  readonly extensions: string;
  /** What was agreed about compression; `null` for none. */
  readonly compression: CodecSettings | null;
  /** The request, built when asked for. */
  request(): Request | null;
  responseHeaders(): Headers;
}

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * One connection from its handshake to its end: the protocol between a read pump and a write pump, callbacks, and
 * the closing handshake. `Connection` is its face.
 */
// deno-lint-ignore no-explicit-any
export class Engine<Data = any>
  implements MessageSink, ReadSink, WriteSink, PackerOwner, KeptAlive {
  readonly role: Role;
  readonly settings: Settings;
  readonly owner: Owner;
  /** Gives masking keys; `null` for a server. */
  readonly nextKey: (() => number) | null;
  readonly queue: SendQueue;
  readonly writer: WritePump;
  conn!: Connection<Data>;
  handlers: ConnectionHandlers<Data>;
  state: ConnectionState = "connecting";
  facts: HandshakeFacts | null = null;
  transport: Transport | null = null;
  reader: ReadPump | null = null;
  /** Reasons for which messages are held. */
  holds: number;
  inbox: Inbox | null = null;
  record: CloseRecord | null = null;
  pings: Pings | null = null;
  /** Ends an attempt to connect. */
  cancel: (() => void) | null = null;
  /** Who takes messages as streams. */
  incoming: Incoming | null = null;
  /** Who takes messages one by one. */
  consumer: Consumer | null = null;
  /** Called with each message or the end, by those who await one; oldest first. */
  takers: (() => void)[] = [];
  /** Compresses what is sent; `null` where that wasn't agreed. */
  packer: Packer | null = null;
  /** Topics that the connection has subscribed to; made with the first. */
  topics: Set<string> | null = null;
  /** The fragmented message that is being sent. */
  openMessage: OpenMessage | null = null;
  /** Whether the connection keeps the process alive. */
  refed = true;
  /** The messages that are being sent from sources. */
  streams: SendStreams | null = null;
  readonly trace: Trace | null;
  /** Those of `holds` that stop reading at once. */
  frameHolds = 0;
  /** Whether nothing can be sent any more. */
  writeShut = false;
  /** Whether nothing can be received any more. */
  readShut = false;
  messagesSent = 0;
  messagesReceived = 0;
  queueHighWater = 0;
  pauses = 0;
  drains = 0;
  dropped = 0;

  #assembler: MessageAssembler | null = null;
  #hooks: FrameHooks | null = null;
  #halfClosed = false;
  #closing: Closing | null = null;
  #keepAlive: KeepAlive | null = null;
  #sendTimeout: SendTimeout | null = null;
  #closeTimer: Alarm | null = null;
  #drainArmed = false;
  #drainWaiters: Waiter[] | null = null;
  #openWaiters: Waiter[] | null = null;
  #closedWaiters: ((record: CloseRecord) => void)[] | null = null;
  #cause: unknown;
  #delivering = false;
  #discarding = false; // messages are dropped: we closed
  #deaf = false; // input is dropped undecoded: the peer closed, or we failed it
  #failed = false;
  #ended = false; // the transport is gone, what is left is to deliver
  #undelivered = 0;
  #unsentMessages = 0;
  #unsentBytes = 0;
  #closeUnsent = false; // our close frame was made, and never taken by the system
  #writtenWhileBusy = 0;

  constructor(owner: Owner, role: Role, settings: Settings, handlers: ConnectionHandlers<Data>) {
    this.owner = owner;
    this.role = role;
    this.settings = settings;
    this.handlers = handlers;
    this.holds = settings.buffering && handlers.onMessage === undefined ? NO_TAKER : 0;
    this.trace = settings.trace === null ? null : new Trace(settings.trace, role);
    this.nextKey = role === "server"
      ? null
      : keySource(settings.maskGenerator, (error) => this.report(error));
    this.queue = this.trace === null
      ? new SendQueue(this.nextKey)
      : new TracedQueue(this.nextKey, this.trace);
    this.writer = new WritePump(this.queue, this);
  }

  // ---- Opening ----------------------------------------------------------------------------------------------------

  /**
   * The handshake is complete.
   *
   * @param answer What still has to be written of it, or `null`.
   * @param early Bytes that came behind it, or `null`.
   * @param later Whether callbacks have to wait for the next microtask: whoever made the connection must have it first.
   */
  open(
    transport: Transport,
    facts: HandshakeFacts,
    answer: Uint8Array | null,
    early: Uint8Array | null,
    later = false,
  ): void {
    const { settings } = this, { compression } = facts;
    this.cancel = null;
    this.transport = transport;
    if (!this.refed) transport.unref?.();
    this.facts = facts;
    this.#assembler = new MessageAssembler(
      this.role,
      this,
      settings.maxMessageSize,
      settings.lend,
      settings.allowedRsv,
      compression === null ? null : (sink) =>
        new MessageInflater(
          { ...compression.inflate, maxMessageSize: settings.maxMessageSize },
          sink,
        ),
      settings.buffering,
    );
    if (compression !== null && compression.deflate !== null) {
      this.packer = new Packer(compression.deflate, settings.compression!.threshold, this);
    }
    this.#observe();
    this.#assembler.chunks = this.incoming;
    const reader = this.reader = new ReadPump(transport, this);
    if (early !== null && early.length > 0) reader.prepend(early);
    this.state = "open";
    this.trace?.opened(facts.url, facts.request(), facts.responseHeaders());
    if (settings.keepAlive !== null) {
      this.#keepAlive = new KeepAlive(this);
    }
    this.owner.opened(this);
    for (const { resolve } of this.#openWaiters?.splice(0) ?? []) resolve();
    this.writer.start(transport, answer);
    if (later) {
      this.holds |= IN_CONNECT;
      queueMicrotask(() => this.#begin());
    } else {
      this.#begin();
    }
  }

  #begin(): void {
    if (this.#ended) return;
    this.holds &= ~IN_CONNECT;
    const { onConnect } = this.handlers;
    if (onConnect !== undefined) {
      const settled = this.call(() => this.handlers.onConnect!(this.conn));
      if (settled !== null) this.#holdUntil(settled, IN_CONNECT);
    }
    if (!this.#ended) this.reader!.pull();
  }

  /** The handshake has failed; `reported` where `onError` is to hear of it. */
  abandon(error: unknown, reported: boolean): void {
    if (this.state === "closed") return;
    this.#cause = error;
    this.trace?.line(`handshake failed: ${error}`);
    this.#end();
    if (reported) this.#reportFailure(error);
  }

  /** Promises what `info` makes of a complete handshake; without a detour, so that a rejection precedes `onClose`. */
  opened<Info>(info: () => Info): Promise<Info> {
    if (this.facts !== null) return Promise.resolve(info());
    if (this.state !== "connecting") return Promise.reject(this.#cause);
    return new Promise((resolve, reject) => {
      (this.#openWaiters ??= []).push({ resolve: () => resolve(info()), reject });
    });
  }

  // ---- Receiving --------------------------------------------------------------------------------------------------

  wanted(): number {
    // A server closes the stream once its answer is out: a read that were pending then would only be interrupted.
    if (this.role === "server" && this.#closing !== null && this.#closing.complete) return 0;
    if (this.#assembler!.busy) return 0;
    if (this.holds === 0 || this.#discarding || this.#deaf) return Infinity;
    if ((this.holds & this.frameHolds) !== 0) return 0;
    // Whoever awaits a message takes the next one, however large.
    if (this.takers.length > 0 && (this.holds & PAUSED) === 0) return Infinity;
    const held = (this.inbox?.bytes ?? 0) + (this.incoming?.bytes ?? 0) +
      this.#assembler!.buffered;
    return this.settings.readAhead - held;
  }

  received(source: Source, start: number, end: number): number {
    if (this.#deaf) return end;
    if (this.#assembler!.busy) return start;
    if ((this.holds & this.frameHolds) !== 0 && !this.#discarding) return start;
    const { frames } = this.#assembler!;
    this.writer.cork();
    frames.halted = false;
    let at = end;
    try {
      at = frames.decode(source, start, end);
    } catch (error) {
      this.fail(error);
    }
    this.writer.uncork();
    return this.#deaf ? end : at;
  }

  landing(): Uint8Array | null {
    return this.#deaf ? null : this.#assembler!.landing();
  }

  landed(count: number): void {
    if (this.#deaf) return;
    this.writer.cork();
    try {
      this.#assembler!.landed(count);
    } catch (error) {
      this.fail(error);
    }
    this.writer.uncork();
  }

  message(data: ReceivedMessage, lent: boolean): void {
    this.messagesReceived++;
    if (this.#discarding) {
      this.#undelivered++;
    } else if (this.holds === 0 && (this.inbox === null || this.inbox.length === 0)) {
      this.#deliver(data, lent, this.#header());
    } else {
      if (this.incoming !== null) this.incoming.whole(data);
      else {
        (this.inbox ??= new Inbox()).push(
          lent ? (data as Uint8Array).slice() : data,
          this.#header(),
        );
      }
      if (this.takers.length > 0 && this.canTake()) this.takers.shift()!();
      if (this.wanted() <= 0) this.#assembler!.frames.halted = true;
    }
  }

  inflated(error: unknown): void {
    if (error !== null) this.fail(error);
    if (!this.#ended && this.wanted() > 0) this.reader!.pull();
  }

  /** The header of a message that has just arrived, where the application wants to see it. */
  #header(): MessageHeader | undefined {
    if (this.settings.allowedRsv === 0) return undefined;
    const { rsv, text } = this.#assembler!;
    return {
      opcode: text ? TEXT : BINARY,
      rsv1: (rsv & RSV1) !== 0,
      rsv2: (rsv & RSV2) !== 0,
      rsv3: (rsv & RSV3) !== 0,
    };
  }

  /** Looks at data frames, from when anyone wants to. */
  #observe(): void {
    const { onFrameStart, onFrameChunk, onFrameEnd } = this.handlers;
    const wanted = !this.settings.buffering ||
      (onFrameStart ?? onFrameChunk ?? onFrameEnd) !== undefined;
    if (wanted) this.frameHolds = FRAME_HOLDS;
    if (this.#assembler === null || this.#hooks !== null || !(wanted || this.trace)) return;
    this.#hooks = this.#assembler.observer = new FrameHooks(this, this.#assembler.frames);
  }

  control(opcode: number, payload: Uint8Array): void {
    this.trace?.control("<-", opcode, payload);
    if (opcode === PING) {
      this.#answerPing(payload);
      if (this.handlers.onPing) this.call(() => this.handlers.onPing!(this.conn, payload));
    } else if (opcode === PONG) {
      this.pings?.answered(payload);
      if (this.handlers.onPong) this.call(() => this.handlers.onPong!(this.conn, payload));
    } else if (opcode === CLOSE) {
      this.#receiveClose(payload);
    }
  }

  ended(): void {
    const closing = this.#closing;
    if (this.readShut || this.writeShut) {
      // The peer could not be heard, or has drawn its conclusion from our end.
      this.#end();
    } else if (closing !== null && (closing.complete || this.#failed)) {
      // The peer has closed its direction; our close frame may still be on its way.
      if (this.writer.idle) this.#end();
    } else {
      this.#lost(
        new Deno.errors.UnexpectedEof("The connection ended without a close frame from the peer"),
      );
    }
  }

  readFailed(error: unknown): void {
    this.#lost(error);
  }

  #deliver(data: ReceivedMessage, lent: boolean, header: MessageHeader | undefined): void {
    let result;
    try {
      result = this.handlers.onMessage!(this.conn, data, header);
    } catch (error) {
      this.report(error);
      return;
    }
    if (isThenable(result)) {
      const source = lent ? this.reader!.lend() : null;
      this.#holdUntil(
        Promise.resolve(result).then(undefined, (error) => this.report(error)).then(() => {
          if (source !== null) this.reader!.giveBack(source);
        }),
        IN_MESSAGE,
      );
    }
  }

  /** Delivers what waits, as far as nothing holds it, and goes on reading. */
  resumeDelivery(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    this.writer.cork();
    while (this.holds === 0 && this.canTake()) {
      this.#deliver(this.inbox!.shift(), false, this.inbox!.header);
    }
    while (this.takers.length > 0 && this.canTake()) this.takers.shift()!();
    this.incoming?.wake();
    if (this.record !== null && !this.inbox?.length) this.#endTakers();
    this.#delivering = false;
    this.writer.uncork();
    if (this.#ended) this.#complete();
    else this.reader?.pull();
  }

  /** Whether `pause` holds messages. */
  get paused(): boolean {
    return (this.holds & PAUSED) !== 0;
  }

  /** Gives messages to one who takes them as streams, those that wait first. */
  claimIncoming(incoming: Incoming): void {
    if (this.handlers.onMessage !== undefined || this.consumer !== null || this.incoming !== null) {
      throw new TypeError(
        "Cannot iterate over a connection whose messages are being taken already",
      );
    }
    if (this.settings.lend) {
      throw new TypeError('Cannot iterate over a connection with payload "view": use "copy"');
    }
    this.incoming = incoming;
    if (this.#assembler !== null) this.#assembler.chunks = incoming;
    const { inbox } = this;
    if (inbox !== null) { while (inbox.length > 0) incoming.whole(inbox.shift()); }
  }

  /** Goes on reading for one who takes messages as streams. */
  pullIncoming(): void {
    if (!this.#ended && this.reader !== null && this.wanted() > 0) this.reader.pull();
  }

  /** Whether a message waits that may be taken. */
  canTake(): boolean {
    return this.inbox !== null && this.inbox.length > 0 && (this.holds & PAUSED) === 0;
  }

  /** Whether messages are dropped, because we have closed. */
  get discarding(): boolean {
    return this.#discarding;
  }

  /** Sets or clears a reason to hold messages. */
  hold(reason: number, on: boolean): void {
    if (on) {
      this.holds |= reason;
    } else if ((this.holds & reason) !== 0) {
      this.holds &= ~reason;
      queueMicrotask(() => this.resumeDelivery());
    }
  }

  /** Replaces callbacks. */
  on(handlers: ConnectionHandlers<Data>): void {
    this.handlers = { ...this.handlers, ...handlers };
    this.hold(NO_TAKER, this.settings.buffering && this.handlers.onMessage === undefined);
    this.#observe();
  }

  #holdUntil(settled: PromiseLike<unknown>, reason: number): void {
    this.holds |= reason;
    settled.then(() => {
      this.holds &= ~reason;
      this.resumeDelivery();
    });
  }

  #answerPing(payload: Uint8Array): void {
    // Behind our close frame nothing may follow (RFC 6455 5.5.1); while it waits in the queue, pongs may pass it.
    if (this.writeShut || (this.#closing?.sent && this.queue.empty)) return;
    this.writer.control.answer(this.#encodeControl(PONG, payload));
    this.writer.schedule();
  }

  // ---- Sending ----------------------------------------------------------------------------------------------------

  /** Sends a control frame that the application asked for. */
  requestControl(opcode: number, payload: Uint8Array): void {
    this.writer.control.request(this.#encodeControl(opcode, payload));
    this.writer.schedule();
  }

  #encodeControl(opcode: number, payload: Uint8Array): Uint8Array {
    this.trace?.control("->", opcode, payload);
    return encodeControl(opcode, payload, this.nextKey === null ? null : this.nextKey());
  }

  /** To be called when something was added to the queue. */
  queued(): void {
    const { bytes } = this.queue;
    if (bytes > this.settings.lowWaterMark) this.#drainArmed = true;
    if (bytes > this.queueHighWater) this.queueHighWater = bytes;
    if (this.settings.sendTimeout > 0) {
      this.#sendTimeout ??= new SendTimeout(this);
      this.#sendTimeout.arm();
    }
    this.writer.schedule();
  }

  packed(): void {
    this.writer.schedule();
    // The peer isn't to blame for the time that compressing took.
    if (this.#closing !== null) this.#armCloseTimer();
  }

  packFailed(error: unknown): void {
    this.terminate(error);
  }

  wrote(): void {
    if (this.#drainArmed && this.queue.bytes <= this.settings.lowWaterMark) this.#drained();
    if (this.streams !== null) this.streams.room();
    if (this.writeShut) this.#halfClose();
    const closing = this.#closing;
    if (closing === null || this.#ended) return;
    this.#armCloseTimer();
    if (closing.sent !== null && this.writer.idle) this.#closeFrameSent();
  }

  writeFailed(error: unknown): void {
    // What the peer sent before it went, a close frame even, may still be there to be read.
    this.#cause ??= error;
    this.#countUnsent();
    this.writer.stop();
    this.#rejectDrainWaiters();
    this.#keepAlive?.stop();
    if (this.state === "open") this.state = "closing";
    if (this.reader!.reading) this.#armCloseTimer();
    else this.#lost(error);
  }

  /** Promises that the queue has drained. */
  drained(): Promise<void> {
    if (this.state === "closed" || this.writer.stopped) {
      return Promise.reject(this.closedError("wait for the queue to drain"));
    }
    if (this.queue.bytes <= this.settings.lowWaterMark) return Promise.resolve();
    return new Promise((resolve, reject) => (this.#drainWaiters ??= []).push({ resolve, reject }));
  }

  #drained(): void {
    this.#drainArmed = false;
    this.drains++;
    this.trace?.line("queue drained");
    const waiters = this.#drainWaiters;
    this.#drainWaiters = null;
    if (waiters === null) {
      this.#callDrain();
    } else {
      for (const { resolve } of waiters) resolve();
      // Those who await it come first.
      queueMicrotask(() => this.#callDrain());
    }
  }

  #callDrain(): void {
    if (this.handlers.onDrain && !this.#ended) this.call(() => this.handlers.onDrain!(this.conn));
  }

  #rejectDrainWaiters(): void {
    for (const { reject } of this.#drainWaiters?.splice(0) ?? []) {
      reject(this.closedError("wait for the queue to drain"));
    }
  }

  /** Holds data back, or lets them go on. */
  holdSending(on: boolean): void {
    if (this.state === "closing" || this.state === "closed") return;
    this.writer.held = on;
    if (!on) this.writer.schedule();
  }

  // ---- Closing ----------------------------------------------------------------------------------------------------

  /** Receives nothing any more, for good: input is read and dropped undecoded. */
  shutRead(): void {
    if (this.readShut || this.#ended || this.reader === null) return;
    this.trace?.line("reading is shut down");
    this.readShut = this.#deaf = true;
    this.#discard();
    this.#assembler!.frames.halted = true;
    this.#assembler!.discard();
    this.pings?.fail(() => this.closedError("wait for a pong"));
    this.holds &= ~PAUSED;
    this.reader.pull();
  }

  /** Sends nothing any more, for good: what is queued goes out, then our direction ends without a close frame. */
  shutWrite(): void {
    if (this.writeShut || this.state !== "open") return;
    this.trace?.line("writing is shut down");
    this.writeShut = true;
    this.openMessage = NO_MORE;
    // Nobody can be pinged any more.
    this.#keepAlive?.stop();
    this.#halfClose();
  }

  #halfClose(): void {
    if (this.#halfClosed || this.#ended || !this.writer.idle) return;
    this.#halfClosed = true;
    this.transport!.closeWrite().catch(() => {});
  }

  /** Starts the closing handshake, behind what is queued. */
  close(code: number, reason: string): void {
    if (this.state === "connecting") {
      this.#cancelConnecting("close()");
    } else if (this.state === "open") {
      this.#discard();
      this.#sendClose(code, reason);
      this.reader!.pull();
    } else if (this.state === "closing" && !this.#discarding) {
      // The peer closed first: on the wire nothing changes, but the application wants no more messages.
      this.#discard();
      if (this.#ended) this.#finish();
      else this.reader!.pull();
    }
  }

  /** Ends the connection without a close frame. */
  terminate(cause?: unknown): void {
    if (this.state === "connecting") {
      this.#cancelConnecting("terminate()");
    } else if (this.state !== "closed") {
      this.#cause ??= cause;
      this.#discard();
      if (this.#ended) this.#finish();
      else this.#end();
    }
  }

  /** The one way in which a connection is failed (RFC 6455 7.1.7). */
  fail(error: unknown): void {
    if (this.#failed || this.#ended) return;
    this.#failed = true;
    this.#cause ??= error;
    this.#deaf = true;
    this.#assembler!.close();
    const code = error instanceof ProtocolError ? error.closeCode : INTERNAL_ERROR;
    const reason = error instanceof ProtocolError ? error.message.slice(0, 120) : "";
    if (!this.#closing?.sent) this.#sendClose(code, reason);
    else if (this.writer.idle) this.#closeFrameSent();
    this.#reportFailure(error);
  }

  /** Gives up on a peer whose queue has overflowed, where the application chose so. */
  overflow(error: Error): void {
    this.#cause ??= error;
    const { messages, bytes } = this.queue;
    this.queue.drop(this.writer.completing);
    this.packer?.close();
    this.#unsentMessages += messages - this.queue.messages;
    this.#unsentBytes += bytes - this.queue.bytes;
    this.#discard();
    this.#sendClose(TRY_AGAIN_LATER, "");
    this.reader!.pull();
    this.#reportFailure(error);
  }

  #cancelConnecting(by: string): void {
    const { cancel } = this;
    this.abandon(abortError(`The attempt to connect was cancelled by ${by}`), false);
    cancel?.();
  }

  #sendClose(code: number, reason: string): void {
    if (this.state === "open") this.trace?.line("state closing");
    this.state = "closing";
    this.#keepAlive?.stop();
    if (this.streams !== null) this.#cutStreams(this.streams);
    if (this.writeShut) {
      // No close frame can be sent; where there is nothing to wait for either, this is the end.
      if (this.readShut || this.#failed || this.#closing !== null) this.#end();
      else this.#armCloseTimer();
      return;
    }
    const closing = this.#closing ??= new Closing();
    if (!closing.send(code, reason)) return;
    // It is queued as data without a payload to count: what was sent before goes out before (RFC 6455 7.1.2).
    this.queue.pushUncounted(FIN | CLOSE, encodeClosePayload(code, reason));
    this.writer.held = false;
    this.#armCloseTimer();
    this.writer.schedule();
  }

  /** Messages that wait behind an unfinished one can't be sent any more. */
  #cutStreams(streams: SendStreams): void {
    const { messages, bytes } = this.queue;
    streams.abort();
    this.#unsentMessages += messages - this.queue.messages;
    this.#unsentBytes += bytes - this.queue.bytes;
  }

  #receiveClose(payload: Uint8Array): void {
    const frame = decodeClosePayload(payload);
    const closing = this.#closing ??= new Closing();
    closing.receive(frame);
    this.#deaf = true;
    this.#assembler!.frames.halted = true;
    this.#assembler!.discard();
    if (closing.sent === null) this.#sendClose(frame.code, frame.reason);
    if (this.writer.idle) this.#closeFrameSent();
  }

  /** The system has taken our close frame, and all that stood before it. */
  #closeFrameSent(): void {
    if (this.readShut) {
      // There is no answer to wait for.
      this.#end();
    } else if (this.#failed && this.reader!.open) {
      // Closing with input unread would reset the connection and lose our close frame on its way.
      this.transport!.closeWrite().catch(() => {});
      this.reader!.pull();
    } else if (!this.reader!.open || (this.#closing!.complete && this.role === "server")) {
      // The server closes the stream first, the client waits for that (RFC 6455 7.1.1).
      this.#end();
    } else {
      this.reader!.pull();
    }
  }

  #armCloseTimer(): void {
    this.#closeTimer ??= new Alarm(() => {
      if (this.#ended) {
        if ((this.holds & PAUSED) === 0) this.#complete(true);
      } else if (this.writer.stopped) {
        // Nothing can be written any more, and the peer's last words didn't come.
        this.#lost(this.#cause);
      } else {
        this.terminate(new TimeoutError(`Not closed within ${this.settings.closeTimeout} ms`));
      }
    });
    this.owner.timers.set(this.#closeTimer, this.settings.closeTimeout);
  }

  /** The stream has failed or ended where it should not have. */
  #lost(error: unknown): void {
    if (this.#ended) return;
    const closing = this.#closing;
    const clean = closing !== null && closing.complete;
    if (!clean) this.#cause ??= error;
    this.#end();
    const expected = this.#failed || closing?.initiator === "local";
    if (!clean && !expected) this.#reportFailure(this.#cause);
  }

  #discard(): void {
    this.#discarding = true;
    this.incoming?.discard();
    this.holds &= ~PAUSED;
    if (this.#hooks !== null) this.#hooks.muted = true;
    this.#undelivered += this.inbox?.clear() ?? 0;
  }

  #countUnsent(): void {
    this.#unsentMessages += this.queue.messages;
    this.#unsentBytes += this.queue.bytes;
    if (!this.writer.dataTaken) this.#closeUnsent = true;
  }

  /** Lets go of the stream and of all that watches over it. */
  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.state = "closing";
    // What is left of the bytes that are being decoded came too late.
    this.#deaf = true;
    if (this.#assembler !== null) this.#assembler.frames.halted = true;
    const { timers } = this.owner;
    this.#countUnsent();
    if (this.#closeTimer !== null) timers.clear(this.#closeTimer);
    this.#keepAlive?.stop();
    this.#sendTimeout?.stop();
    this.reader?.stop();
    this.writer.stop();
    this.packer?.close();
    this.#assembler?.close();
    this.transport?.close();
    this.streams?.abort();
    for (const { reject } of this.#openWaiters?.splice(0) ?? []) reject(this.#cause);
    this.pings?.fail(() => this.closedError("wait for a pong"));
    this.#rejectDrainWaiters();
    if (this.#mustDeliver()) this.#awaitDelivery();
    else this.#finish();
  }

  #finish(): void {
    this.state = "closed";
    queueMicrotask(() => this.#complete());
  }

  /** Whether received messages still have to be delivered before the end is. */
  #mustDeliver(): boolean {
    return !this.#discarding && (this.inbox?.length ?? 0) > 0 &&
      ((this.holds & NO_TAKER) === 0 || this.takers.length > 0);
  }

  #awaitDelivery(): void {
    // A pause is the application's, and ends when it says; a callback that never settles is waited for in vain.
    if ((this.holds & PAUSED) === 0) this.#armCloseTimer();
  }

  #complete(giveUp = false): void {
    if (this.record !== null) return;
    if (!giveUp && this.#mustDeliver()) {
      this.#awaitDelivery();
      return;
    }
    if (giveUp) this.#discard();
    if (this.#closeTimer !== null) this.owner.timers.clear(this.#closeTimer);
    this.state = "closed";
    const sent = this.#closeUnsent ? null : this.#closing?.sent ?? null;
    const received = this.#closing?.received ?? null;
    const record = this.record = closeRecord({
      code: received?.code ?? ABNORMAL,
      reason: received?.reason ?? "",
      wasClean: sent !== null && received !== null,
      sent,
      received,
      initiator: sent === null && received === null ? null : this.#closing!.initiator,
      cause: this.#cause,
      unsentMessages: this.#unsentMessages,
      unsentBytes: this.#unsentBytes,
      // Whoever takes messages one by one may still take what waits.
      undelivered: () => this.#undelivered + (this.inbox?.length ?? 0),
    });
    this.trace?.line(`state closed: ${record}`);
    this.owner.closed(this);
    for (const resolve of this.#closedWaiters ?? []) resolve(record);
    this.#endTakers();
    if (this.handlers.onClose) this.call(() => this.handlers.onClose!(this.conn, record));
  }

  #endTakers(): void {
    for (const taker of this.takers.splice(0)) taker();
  }

  /** Promises the close record. */
  closed(): Promise<CloseRecord> {
    if (this.record !== null) return Promise.resolve(this.record);
    return new Promise((resolve) => (this.#closedWaiters ??= []).push(resolve));
  }

  /** The error of what was attempted on a connection that isn't open. */
  closedError(action: string, data?: unknown): ConnectionClosedError {
    return new ConnectionClosedError(`Cannot ${action} on a ${this.state} connection`, {
      data,
      close: this.record ?? undefined,
    });
  }

  // ---- Watching ---------------------------------------------------------------------------------------------------

  progress(): number {
    // What is received is life. So is what goes out while the system makes us wait: then the peer has taken something.
    if (this.writer.busy) this.#writtenWhileBusy = this.writer.written;
    return (this.reader?.reads ?? 0) + this.#writtenWhileBusy;
  }

  deafened(): boolean {
    return this.reader !== null && !this.reader.reading;
  }

  keepAlivePing(): void {
    if (this.state !== "open") return;
    const payload = freshPayload();
    (this.pings ??= new Pings()).note(payload);
    this.requestControl(PING, payload);
  }

  keepAliveFailed(timeout: number): void {
    this.#lost(new TimeoutError(`The peer was silent for ${timeout} ms after a ping`));
  }

  sendTimedOut(): void {
    this.#lost(
      new TimeoutError(`The peer took nothing for ${this.settings.sendTimeout} ms`),
    );
  }

  // ---- Callbacks --------------------------------------------------------------------------------------------------

  /** Runs a callback; returns a promise of its end where it is asynchronous. Its failures are reported. */
  call(callback: () => unknown): Promise<void> | null {
    try {
      const result = callback();
      if (isThenable(result)) {
        return Promise.resolve(result).then(() => {}, (error) => this.report(error));
      }
    } catch (error) {
      this.report(error);
    }
    return null;
  }

  /** Reports what ended the connection; the close record carries it too. */
  #reportFailure(error: unknown): void {
    if (this.handlers.onError !== undefined) this.report(error);
  }

  /** Reports an error to `onError`, or to the console where there is none. */
  report(error: unknown): void {
    if (this.handlers.onError === undefined) {
      console.error("A callback of a WebSocket connection failed:", error);
      return;
    }
    try {
      const result = this.handlers.onError(this.conn, error);
      if (isThenable(result)) {
        result.then(undefined, (error) => console.error("An onError callback failed:", error));
      }
    } catch (error) {
      console.error("An onError callback failed:", error);
    }
  }

  /** Counters. */
  stats(): ConnectionStats {
    return {
      messagesSent: this.messagesSent,
      messagesReceived: this.messagesReceived,
      bytesSent: this.writer.written,
      bytesReceived: this.reader?.bytes ?? 0,
      queuedBytes: this.queue.bytes,
      queueHighWater: this.queueHighWater,
      pauses: this.pauses,
      drains: this.drains,
      dropped: this.dropped,
      lastRoundTrip: this.pings?.lastRoundTrip ?? null,
    };
  }
}

function keySource(
  fill: ((key: Uint8Array) => void) | null,
  report: (error: unknown) => void,
): () => number {
  if (fill === null) return randomKey;
  return () => {
    const key = new Uint8Array(4);
    try {
      fill(key);
    } catch (error) {
      report(error);
      return randomKey();
    }
    return new DataView(key.buffer).getInt32(0, true);
  };
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null &&
    typeof (value as PromiseLike<unknown>).then === "function";
}
