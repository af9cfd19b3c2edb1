import { call, report } from "./callbacks.ts";
import { CloseOutcome } from "./close_outcome.ts";
import { CloseTimeout, type ClosingPeer } from "./close_timeout.ts";
import type { CloseRecord, LiveCloseRecord } from "../protocol/close_record.ts";
import type { ConnectionStats } from "./stats.ts";
import type { HandshakeResult } from "./handshake_result.ts";
import { Delivery, IN_CONNECT } from "./delivery.ts";
import { MessageInflater } from "../deflate/message_inflater.ts";
import { MessageDeflater } from "../deflate/message_deflater.ts";
import { abortError, ConnectionClosedError, TimeoutError } from "../errors.ts";
import { ReadPump, type ReadSink } from "../flow/read_pump.ts";
import type { SendQueue } from "../flow/send_queue.ts";
import type { WritePump } from "../flow/write_pump.ts";
import { KeepAlive, type KeptAlive } from "./keep_alive.ts";
import type { Settings } from "./settings.ts";
import type { Face, Handlers } from "./handlers.ts";
import type { ReceivedMessage } from "../flow/receive_queue.ts";
import { freshPayload, Pings } from "./pings.ts";
import type { Member } from "../util/member_list.ts";
import { decodeClosePayload, INTERNAL_ERROR, TRY_AGAIN_LATER } from "../protocol/close_code.ts";
import { ClosingHandshake } from "../protocol/closing_handshake.ts";
import type { Source } from "../protocol/frame_decoder.ts";
import { MessageAssembler, type MessageSink } from "../protocol/message_assembler.ts";
import { CLOSE, PING, PONG, type Role } from "../protocol/opcode.ts";
import { keySource } from "./masking_keys.ts";
import { ProtocolError } from "../protocol/protocol_error.ts";
import { type Limited, RateLimit } from "./rate_limit.ts";
import { Sender, type SenderHost, type Streams } from "./sender.ts";
import type { Timers } from "../util/timers.ts";
import { Trace } from "./trace.ts";
import type { Transport } from "../transport/transport.ts";

/** The state of a connection; it only ever moves to the right. */
export type ConnectionState = "connecting" | "open" | "closing" | "closed";

/** What an engine needs of whoever made it. */
export interface Owner {
  readonly timers: Timers;
  /** The handshake is complete. */
  opened(engine: Engine): void;
  /** The connection has ended, whatever its state was. */
  closed(engine: Engine): void;
}

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * One connection from its handshake to its end: the protocol between a read pump and a write pump, callbacks, and
 * the closing handshake. `Connection` is its face.
 */
export class Engine
  implements MessageSink, ReadSink, SenderHost, KeptAlive, ClosingPeer, Limited, Member {
  slot = -1;
  readonly role: Role;
  readonly settings: Settings;
  readonly owner: Owner;
  /** The sending half. */
  readonly sender: Sender;
  /** What the application holds; set by whoever made the engine. */
  face!: Face;
  handlers: Handlers;
  state: ConnectionState = "connecting";
  handshakeResult: HandshakeResult | null = null;
  transport: Transport | null = null;
  reader: ReadPump | null = null;
  /** Received messages on their way to the application. */
  readonly delivery: Delivery;
  assembler: MessageAssembler | null = null;
  pings: Pings | null = null;
  /** Ends an attempt to connect. */
  cancel: (() => void) | null = null;
  /** Topics that the connection has subscribed to; made with the first. */
  topics: Set<string> | null = null;
  /** Whether the connection keeps the process alive. */
  refed = true;
  readonly trace: Trace | null;
  /** Whether nothing can be received any more. */
  readShut = false;
  pauses = 0;

  #closing: ClosingHandshake | null = null;
  #keepAlive: KeepAlive | null = null;
  #limit: RateLimit | null = null; // lifted with the first close frame, ours or the peer's
  #closeTimeout: CloseTimeout | null = null;
  // Made when first needed, for the sake of the many connections that are silent.
  #openWaiters: Waiter[] | null = null;
  #closeLedger: CloseOutcome | null = null;
  #deaf = false; // input is dropped undecoded: the peer closed, or we failed it
  #failed = false;
  #ended = false; // the transport is gone, what is left is to deliver
  #takenWhileBusy = 0;

  constructor(owner: Owner, role: Role, settings: Settings, handlers: Handlers) {
    this.owner = owner;
    this.role = role;
    this.settings = settings;
    this.handlers = handlers;
    this.delivery = new Delivery(this, handlers);
    this.trace = settings.trace === null ? null : new Trace(settings.trace, role);
    this.sender = new Sender(
      this,
      role === "server" ? null : keySource(settings.maskGenerator, (error) => this.report(error)),
    );
  }

  get isOpen(): boolean {
    return this.state === "open";
  }

  get queue(): SendQueue {
    return this.sender.queue;
  }

  get writer(): WritePump {
    return this.sender.writer;
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
    facts: HandshakeResult,
    answer: Uint8Array | null,
    early: Uint8Array | null,
    later = false,
  ): void {
    const { settings } = this, { compression } = facts;
    this.cancel = null;
    this.transport = transport;
    if (!this.refed) transport.unref?.();
    this.handshakeResult = facts;
    this.assembler = new MessageAssembler(
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
    );
    if (compression !== null && compression.deflate !== null) {
      this.sender.deflater = new MessageDeflater(
        compression.deflate,
        settings.compression!.threshold,
        this.sender,
      );
    }
    this.delivery.observe();
    this.assembler.chunks = this.delivery.incoming;
    const reader = this.reader = new ReadPump(transport, this);
    if (early !== null && early.length > 0) reader.prepend(early);
    this.state = "open";
    this.trace?.opened(facts.url, facts.request(), facts.responseHeaders());
    if (settings.keepAlive !== null) {
      this.#keepAlive = new KeepAlive(this);
    }
    if (settings.rateLimit !== null) this.#limit = new RateLimit(settings.rateLimit, this);
    this.owner.opened(this);
    for (const { resolve } of this.#openWaiters?.splice(0) ?? []) resolve();
    this.writer.start(transport, answer);
    if (later) {
      this.delivery.holdReasons |= IN_CONNECT;
      queueMicrotask(() => this.#begin());
    } else {
      this.#begin();
    }
  }

  #begin(): void {
    if (this.#ended) return;
    this.delivery.holdReasons &= ~IN_CONNECT;
    const { onConnect } = this.handlers;
    if (onConnect !== undefined) {
      const settled = this.call(() => this.handlers.onConnect!(this.face));
      if (settled !== null) this.delivery.holdUntil(settled, IN_CONNECT);
    }
    if (!this.#ended) this.reader!.pull();
  }

  /** The handshake has failed; `reported` where `onError` is to hear of it. */
  abandon(error: unknown, reported: boolean): void {
    if (this.state === "closed") return;
    this.#ledger.cause = error;
    this.trace?.line(`handshake failed: ${error}`);
    this.#end();
    if (reported) this.#reportFailure(error);
  }

  /** Promises what `info` makes of a complete handshake; without a detour, so that a rejection precedes `onClose`. */
  opened<Info>(info: () => Info): Promise<Info> {
    if (this.handshakeResult !== null) return Promise.resolve(info());
    if (this.state !== "connecting") return Promise.reject(this.#ledger.cause);
    return new Promise((resolve, reject) => {
      (this.#openWaiters ??= []).push({ resolve: () => resolve(info()), reject });
    });
  }

  // ---- Receiving --------------------------------------------------------------------------------------------------

  readBudget(): number {
    const wanted = this.#wanted();
    if (this.#limit === null || wanted <= 0) return wanted;
    return Math.min(wanted, this.#limit.room(this.reader!.bytes));
  }

  #wanted(): number {
    // A server closes the stream once its answer is out: a read that were pending then would only be interrupted.
    if (this.role === "server" && this.#closing !== null && this.#closing.complete) return 0;
    if (this.assembler!.busy) return 0;
    return this.#deaf ? Infinity : this.delivery.room;
  }

  consume(source: Source, start: number, end: number): number {
    if (this.#deaf) return end;
    if (this.assembler!.busy) return start;
    if (this.delivery.framesHeld) return start;
    if (this.#limit !== null && this.#limit.dry) return start;
    const { frames } = this.assembler!;
    this.writer.cork();
    frames.stopRequested = false;
    let at = end;
    try {
      at = frames.decode(source, start, end);
    } catch (error) {
      this.fail(error);
    }
    this.writer.uncork();
    return this.#deaf ? end : at;
  }

  directReadTarget(): Uint8Array | null {
    // Who looks at frames is lent the reader's buffer.
    return this.#deaf || this.delivery.observed ? null : this.assembler!.landing();
  }

  consumedDirectly(count: number): void {
    if (this.#deaf) return;
    this.writer.cork();
    try {
      this.assembler!.landed(count);
    } catch (error) {
      this.fail(error);
    }
    this.writer.uncork();
  }

  message(data: ReceivedMessage, lent: boolean): void {
    if (this.#limit !== null && this.#limit.took()) this.assembler!.frames.stopRequested = true;
    this.delivery.message(data, lent);
  }

  inflated(error: unknown): void {
    if (error !== null) this.fail(error);
    this.readOn();
  }

  unlimited(): void {
    if (!this.#ended) this.reader!.pull();
  }

  /** What follows is decoded to be discarded, and the peer's close frame must not have to wait. */
  #liftLimit(): void {
    this.#limit?.stop();
    this.#limit = null;
  }

  control(opcode: number, payload: Uint8Array): void {
    this.trace?.control("<-", opcode, payload);
    if (this.#limit !== null && this.#limit.took()) this.assembler!.frames.stopRequested = true;
    if (opcode === PING) {
      this.sender.answerPing(payload);
      if (this.handlers.onPing) this.call(() => this.handlers.onPing!(this.face, payload));
    } else if (opcode === PONG) {
      this.pings?.answered(payload);
      if (this.handlers.onPong) this.call(() => this.handlers.onPong!(this.face, payload));
    } else if (opcode === CLOSE) {
      this.#receiveClose(payload);
    }
  }

  ended(): void {
    const closing = this.#closing;
    if (this.readShut || this.sender.shut) {
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

  /** What could be delivered has been. */
  delivered(): void {
    if (this.#ended) this.#complete();
    else this.reader?.pull();
  }

  /** Goes on reading, where there is room again for what comes. */
  readOn(): void {
    this.assembler?.resume();
    if (!this.#ended && this.reader !== null && this.readBudget() > 0) this.reader.pull();
  }

  /** Replaces callbacks. */
  on(handlers: Handlers): void {
    this.handlers = { ...this.handlers, ...handlers };
    this.delivery.handlersChanged();
  }

  // ---- Sending ----------------------------------------------------------------------------------------------------

  drained(): void {
    if (this.handlers.onDrain && !this.#ended) {
      this.call(() => this.handlers.onDrain!(this.face));
    }
  }

  sendProgressed(): void {
    // The peer isn't to blame for the time that compressing took.
    if (this.#closing !== null) this.#armCloseTimer();
  }

  wrote(): void {
    const closing = this.#closing;
    if (closing === null || this.#ended) return;
    this.#armCloseTimer();
    if (closing.sent !== null && this.writer.idle) this.#closeFrameSent();
  }

  writeFailed(error: unknown): void {
    // What the peer sent before it went, a close frame even, may still be there to be read.
    this.#ledger.cause ??= error;
    this.#countUnsent();
    this.sender.stopWriting();
    this.#keepAlive?.stop();
    if (this.state === "open") this.state = "closing";
    if (this.reader!.reading) this.#armCloseTimer();
    else this.#lost(error);
  }

  /** Holds data back, or lets them go on. */
  holdSending(on: boolean): void {
    if (this.state === "closing" || this.state === "closed") return;
    this.sender.hold(on);
  }

  // ---- Closing ----------------------------------------------------------------------------------------------------

  /** Receives nothing any more, for good: input is read and dropped undecoded. */
  shutRead(): void {
    if (this.readShut || this.#ended || this.reader === null) return;
    this.trace?.line("reading is shut down");
    this.readShut = this.#deaf = true;
    this.#discard();
    this.assembler!.frames.stopRequested = true;
    this.assembler!.discard();
    this.pings?.fail(() => this.closedError("wait for a pong"));
    this.reader.pull();
  }

  /** Sends nothing any more, for good: what is queued goes out, then our direction ends without a close frame. */
  shutWrite(): void {
    if (this.sender.shut || this.state !== "open") return;
    this.trace?.line("writing is shut down");
    // Nobody can be pinged any more.
    this.#keepAlive?.stop();
    this.sender.shutDown();
  }

  /** Starts the closing handshake, behind what is queued. */
  close(code: number, reason: string): void {
    if (this.state === "connecting") {
      this.#cancelConnecting("close()");
    } else if (this.state === "open") {
      this.#discard();
      this.#sendClose(code, reason);
      this.reader!.pull();
    } else if (this.state === "closing" && !this.delivery.discarding) {
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
      this.#ledger.cause ??= cause;
      this.#discard();
      if (this.#ended) this.#finish();
      else this.#end();
    }
  }

  /** The one way in which a connection is failed (RFC 6455 7.1.7). */
  fail(error: unknown): void {
    if (this.#failed || this.#ended) return;
    this.#failed = true;
    this.#ledger.cause ??= error;
    this.#deaf = true;
    this.#liftLimit();
    this.assembler!.close();
    const code = error instanceof ProtocolError ? error.closeCode : INTERNAL_ERROR;
    const reason = error instanceof ProtocolError ? error.message.slice(0, 120) : "";
    if (!this.#closing?.sent) this.#sendClose(code, reason);
    else if (this.writer.idle) this.#closeFrameSent();
    this.#reportFailure(error);
  }

  /** Gives up on a peer whose queue has overflowed, where the application chose so. */
  overflow(error: Error): void {
    this.#ledger.cause ??= error;
    const { messages, bytes } = this.queue;
    this.sender.dropQueue();
    this.#ledger.unsent({ messages, bytes }, this.queue);
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
    if (this.sender.streams !== null) this.#cutStreams(this.sender.streams);
    if (this.sender.shut) {
      // No close frame can be sent; where there is nothing to wait for either, this is the end.
      if (this.readShut || this.#failed || this.#closing !== null) this.#end();
      else this.#armCloseTimer();
      return;
    }
    const closing = this.#closing ??= new ClosingHandshake();
    if (!closing.send(code, reason)) return;
    this.sender.pushClose(code, reason);
    this.#armCloseTimer();
  }

  /** Messages that wait behind an unfinished one can't be sent any more. */
  #cutStreams(streams: Streams): void {
    const { messages, bytes } = this.queue;
    streams.abort();
    this.#ledger.unsent({ messages, bytes }, this.queue);
  }

  #receiveClose(payload: Uint8Array): void {
    const frame = decodeClosePayload(payload);
    const closing = this.#closing ??= new ClosingHandshake();
    closing.receive(frame);
    this.#deaf = true;
    this.#liftLimit();
    this.assembler!.frames.stopRequested = true;
    this.assembler!.discard();
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
      this.writer.endWriting();
      this.reader!.pull();
    } else if (!this.reader!.open || (this.#closing!.complete && this.role === "server")) {
      // The server closes the stream first, the client waits for that (RFC 6455 7.1.1).
      this.#end();
    } else {
      this.reader!.pull();
    }
  }

  #armCloseTimer(): void {
    (this.#closeTimeout ??= new CloseTimeout(this)).start();
  }

  closeTimedOut(): void {
    if (this.#ended) {
      if (!this.delivery.paused) this.#complete(true);
    } else if (this.writer.stopped) {
      // Nothing can be written any more, and the peer's last words didn't come.
      this.#lost(this.#ledger.cause);
    } else {
      this.terminate(new TimeoutError(`Not closed within ${this.settings.closeTimeout} ms`));
    }
  }

  /** The stream has failed or ended where it should not have. */
  #lost(error: unknown): void {
    if (this.#ended) return;
    const closing = this.#closing;
    const clean = closing !== null && closing.complete;
    if (!clean) this.#ledger.cause ??= error;
    this.#end();
    const expected = this.#failed || closing?.initiator === "local";
    if (!clean && !expected) this.#reportFailure(this.#ledger.cause);
  }

  #discard(): void {
    this.#liftLimit();
    this.delivery.discard();
    // What is left of a message that waited for room is inflated to be dropped.
    this.assembler?.resume();
  }

  #countUnsent(): void {
    this.#ledger.unsent(this.queue);
    if (!this.writer.dataTaken) this.#ledger.closeFrameLost();
  }

  /** Lets go of the stream and of all that watches over it. */
  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.state = "closing";
    // What is left of the bytes that are being decoded came too late.
    this.#deaf = true;
    if (this.assembler !== null) this.assembler.frames.stopRequested = true;
    this.#countUnsent();
    this.#closeTimeout?.stop();
    this.#keepAlive?.stop();
    this.#liftLimit();
    this.reader?.stop();
    this.sender.stop();
    this.assembler?.close();
    this.transport?.close();
    this.sender.streams?.abort();
    for (const { reject } of this.#openWaiters?.splice(0) ?? []) reject(this.#ledger.cause);
    this.pings?.fail(() => this.closedError("wait for a pong"));
    this.sender.failDrain();
    if (this.delivery.unfinished) this.#awaitDelivery();
    else this.#finish();
  }

  #finish(): void {
    this.state = "closed";
    queueMicrotask(() => this.#complete());
  }

  #awaitDelivery(): void {
    // A pause is the application's, and ends when it says; a callback that never settles is waited for in vain.
    if (!this.delivery.paused) this.#armCloseTimer();
  }

  #complete(giveUp = false): void {
    if (this.record !== null) return;
    if (!giveUp && this.delivery.unfinished) {
      this.#awaitDelivery();
      return;
    }
    if (giveUp) this.#discard();
    this.#closeTimeout?.stop();
    this.state = "closed";
    // Whoever takes messages one by one may still take what waits.
    const { undelivered, inbox } = this.delivery;
    const record = this.#ledger.build(this.#closing, undelivered + (inbox?.length ?? 0));
    this.trace?.line(`state closed: ${record}`);
    this.owner.closed(this);
    this.#ledger.resolve();
    this.delivery.endWaiters();
    if (this.handlers.onClose) this.call(() => this.handlers.onClose!(this.face, record));
  }

  get #ledger(): CloseOutcome {
    return this.#closeLedger ??= new CloseOutcome();
  }

  /** The close record, once there is one. */
  get record(): LiveCloseRecord | null {
    return this.#closeLedger === null ? null : this.#closeLedger.record;
  }

  /** Promises the close record. */
  closed(): Promise<CloseRecord> {
    return this.#ledger.wait();
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
    if (this.writer.busy) this.#takenWhileBusy = this.writer.taken;
    // Counted by the transport below a record or a buffer that isn't complete, otherwise by our reads.
    const received = this.transport?.bytesReceived ?? this.reader?.reads ?? 0;
    return received + this.#takenWhileBusy;
  }

  readingStopped(): boolean {
    return this.reader !== null && !this.reader.reading;
  }

  keepAlivePing(): void {
    if (this.state !== "open") return;
    const payload = freshPayload();
    (this.pings ??= new Pings()).note(payload);
    this.sender.requestControl(PING, payload);
  }

  keepAliveFailed(timeout: number): void {
    this.#lost(new TimeoutError(`The peer was silent for ${timeout} ms after a ping`));
  }

  sendTimedOut(): void {
    this.#lost(
      new TimeoutError(`The peer took nothing for ${this.settings.sendTimeout} ms`),
    );
  }

  /** Runs a callback; returns a promise of its end where it is asynchronous. Its failures are reported. */
  call(callback: () => unknown): Promise<void> | null {
    return call(this, callback);
  }

  /** Reports an error to `onError`, or to the console where there is none. */
  report(error: unknown): void {
    report(this, error);
  }

  /** Reports what ended the connection; the close record carries it too. */
  #reportFailure(error: unknown): void {
    if (this.handlers.onError !== undefined) report(this, error);
  }

  /** Counters. */
  stats(): ConnectionStats {
    return {
      messagesSent: this.sender.messagesSent,
      messagesReceived: this.delivery.received,
      bytesSent: this.writer.written,
      bytesReceived: this.reader?.bytes ?? 0,
      queuedBytes: this.queue.bytes,
      queueHighWater: this.sender.queueHighWater,
      pauses: this.pauses,
      drains: this.sender.drains,
      dropped: this.sender.dropped,
      lastRoundTrip: this.pings?.lastRoundTrip ?? null,
    };
  }
}
