import { call, report } from "./callbacks.ts";
import { CloseOutcome } from "./close_outcome.ts";
import { CloseTimeout, type ClosingPeer } from "./close_timeout.ts";
import type { CloseRecord, LiveCloseRecord } from "../protocol/close_record.ts";
import type { ConnectionStats } from "./stats.ts";
import type { HandshakeResult } from "./handshake_result.ts";
import { IN_CONNECT } from "./holds.ts";
import { MessageDeflater } from "../deflate/message_deflater.ts";
import { abortError, ConnectionClosedError, TimeoutError } from "../errors.ts";
import type { SendQueue } from "../flow/send_queue.ts";
import type { WritePump } from "../flow/write_pump.ts";
import { KeepAlive, type KeptAlive } from "./keep_alive.ts";
import type { Settings } from "./settings.ts";
import type { Face, Handlers } from "./handlers.ts";
import { freshPayload, Pings } from "./pings.ts";
import type { Member } from "../util/member_list.ts";
import { decodeClosePayload, INTERNAL_ERROR, TRY_AGAIN_LATER } from "../protocol/close_code.ts";
import { ClosingHandshake } from "../protocol/closing_handshake.ts";
import { CLOSE, PING, PONG, type Role } from "../protocol/opcode.ts";
import { keySource } from "./masking_keys.ts";
import { ProtocolError } from "../protocol/protocol_error.ts";
import { Receiver, type ReceiverHost } from "./receiver.ts";
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
export class Engine implements ReceiverHost, SenderHost, KeptAlive, ClosingPeer, Member {
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
  readonly receiver: Receiver;
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
  #closeTimeout: CloseTimeout | null = null;
  // Made when first needed, for the sake of the many connections that are silent.
  #openWaiters: Waiter[] | null = null;
  #closeLedger: CloseOutcome | null = null;
  #failed = false;
  #ended = false; // the transport is gone, what is left is to deliver
  #takenWhileBusy = 0;

  constructor(owner: Owner, role: Role, settings: Settings, handlers: Handlers) {
    this.owner = owner;
    this.role = role;
    this.settings = settings;
    this.handlers = handlers;
    this.receiver = new Receiver(this);
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
   * @param early Bytes that came behind it, or `null`.
   * @param later Whether callbacks have to wait for the next microtask: whoever made the connection must have it first.
   */
  open(
    transport: Transport,
    facts: HandshakeResult,
    early: Uint8Array | null,
    later = false,
  ): void {
    const { settings } = this, { compression } = facts;
    this.cancel = null;
    this.transport = transport;
    if (!this.refed) transport.unref?.();
    this.handshakeResult = facts;
    if (compression !== null && compression.deflate !== null) {
      this.sender.deflater = new MessageDeflater(
        compression.deflate,
        settings.compression!.threshold,
        this.sender,
      );
    }
    this.receiver.start(transport, compression, early);
    this.state = "open";
    this.trace?.opened(facts.url, facts.requestFields(), facts.responseHeaders());
    if (settings.keepAlive !== null) {
      this.#keepAlive = new KeepAlive(this);
    }
    this.owner.opened(this);
    for (const { resolve } of this.#openWaiters?.splice(0) ?? []) resolve();
    this.writer.start(transport);
    if (later) {
      this.receiver.holdReasons |= IN_CONNECT;
      queueMicrotask(() => this.#begin());
    } else {
      this.#begin();
    }
  }

  #begin(): void {
    if (this.#ended) return;
    this.receiver.holdReasons &= ~IN_CONNECT;
    const { onConnect } = this.handlers;
    if (onConnect !== undefined) {
      const settled = this.call(() => this.handlers.onConnect!(this.face));
      if (settled !== null) this.receiver.holdUntil(settled, IN_CONNECT);
    }
    if (!this.#ended) this.receiver.pull();
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

  get awaitsEnd(): boolean {
    // A server closes the stream once its answer is out: a read that were pending then would only be interrupted.
    return this.role === "client" || this.#closing === null || !this.#closing.complete;
  }

  control(opcode: number, payload: Uint8Array): void {
    this.trace?.control("<-", opcode, payload);
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

  inputEnded(): void {
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

  delivered(): void {
    if (this.#ended) this.#complete();
  }

  /** Replaces callbacks. */
  on(handlers: Handlers): void {
    this.handlers = { ...this.handlers, ...handlers };
    this.receiver.handlersChanged();
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
    if (this.receiver.reading) this.#armCloseTimer();
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
    if (this.readShut || this.#ended || this.transport === null) return;
    this.trace?.line("reading is shut down");
    this.readShut = true;
    this.receiver.dropMessages();
    this.receiver.discardInput();
    this.pings?.fail(() => this.closedError("wait for a pong"));
    this.receiver.pull();
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
      this.receiver.dropMessages();
      this.#sendClose(code, reason);
      this.receiver.pull();
    } else if (this.state === "closing" && !this.receiver.dropping) {
      // The peer closed first: on the wire nothing changes, but the application wants no more messages.
      this.receiver.dropMessages();
      if (this.#ended) this.#finish();
      else this.receiver.pull();
    }
  }

  /** Ends the connection without a close frame. */
  terminate(cause?: unknown): void {
    if (this.state === "connecting") {
      this.#cancelConnecting("terminate()");
    } else if (this.state !== "closed") {
      this.#ledger.cause ??= cause;
      this.receiver.dropMessages();
      if (this.#ended) this.#finish();
      else this.#end();
    }
  }

  /** The one way in which a connection is failed (RFC 6455 7.1.7). */
  fail(error: unknown): void {
    if (this.#failed || this.#ended) return;
    this.#failed = true;
    this.#ledger.cause ??= error;
    this.receiver.discardInput();
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
    this.receiver.dropMessages();
    this.#sendClose(TRY_AGAIN_LATER, "");
    this.receiver.pull();
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
    this.receiver.discardInput();
    if (closing.sent === null) this.#sendClose(frame.code, frame.reason);
    if (this.writer.idle) this.#closeFrameSent();
  }

  /** The system has taken our close frame, and all that stood before it. */
  #closeFrameSent(): void {
    if (this.readShut) {
      // There is no answer to wait for.
      this.#end();
    } else if (this.#failed && this.receiver.open) {
      // Closing with input unread would reset the connection and lose our close frame on its way.
      this.writer.endWriting();
      this.receiver.pull();
    } else if (!this.receiver.open || (this.#closing!.complete && this.role === "server")) {
      // The server closes the stream first, the client waits for that (RFC 6455 7.1.1).
      this.#end();
    } else {
      this.receiver.pull();
    }
  }

  #armCloseTimer(): void {
    (this.#closeTimeout ??= new CloseTimeout(this)).start();
  }

  closeTimedOut(): void {
    if (this.#ended) {
      if (!this.receiver.paused) this.#complete(true);
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

  #countUnsent(): void {
    this.#ledger.unsent(this.queue);
    if (!this.writer.dataTaken) this.#ledger.closeFrameLost();
  }

  /** Lets go of the stream and of all that watches over it. */
  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.state = "closing";
    this.#countUnsent();
    this.#closeTimeout?.stop();
    this.#keepAlive?.stop();
    this.receiver.stop();
    this.sender.stop();
    this.transport?.close();
    this.sender.streams?.abort();
    for (const { reject } of this.#openWaiters?.splice(0) ?? []) reject(this.#ledger.cause);
    this.pings?.fail(() => this.closedError("wait for a pong"));
    this.sender.failDrain();
    if (this.receiver.unfinished) this.#awaitDelivery();
    else this.#finish();
  }

  #finish(): void {
    this.state = "closed";
    queueMicrotask(() => this.#complete());
  }

  #awaitDelivery(): void {
    // A pause is the application's, and ends when it says; a callback that never settles is waited for in vain.
    if (!this.receiver.paused) this.#armCloseTimer();
  }

  #complete(giveUp = false): void {
    if (this.record !== null) return;
    if (!giveUp && this.receiver.unfinished) {
      this.#awaitDelivery();
      return;
    }
    if (giveUp) this.receiver.dropMessages();
    this.#closeTimeout?.stop();
    this.state = "closed";
    // Whoever takes messages one by one may still take what waits.
    const { undelivered, waiting } = this.receiver;
    const record = this.#ledger.build(this.#closing, undelivered + waiting);
    this.trace?.line(`state closed: ${record}`);
    this.owner.closed(this);
    this.#ledger.resolve();
    this.receiver.endWaiters();
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
    const received = this.transport?.bytesReceived ?? this.receiver.bytes;
    return received + this.#takenWhileBusy;
  }

  readingStopped(): boolean {
    return !this.receiver.reading;
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

  cannotSend(error: unknown): void {
    this.#lost(error);
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
      messagesReceived: this.receiver.received,
      bytesSent: this.writer.written,
      bytesReceived: this.receiver.bytes,
      queuedBytes: this.queue.bytes,
      queueHighWater: this.sender.queueHighWater,
      pauses: this.pauses,
      drains: this.sender.drains,
      dropped: this.sender.dropped,
      lastRoundTrip: this.pings?.lastRoundTrip ?? null,
    };
  }
}
