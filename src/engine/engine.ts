import { call, report } from "./callbacks.ts";
import { Closer, type CloserHost } from "./closer.ts";
import type { Source } from "../protocol/source.ts";
import type { CloseRecord, LiveCloseRecord } from "../protocol/close_record.ts";
import type { ConnectionStats } from "./stats.ts";
import type { HandshakeResult } from "./handshake_result.ts";
import { IN_CONNECT } from "./holds.ts";
import { abortError, ConnectionClosedError, InvalidStateError, TimeoutError } from "../errors.ts";
import type { WritePump } from "../flow/write_pump.ts";
import { KeepAlive, type KeptAlive } from "./keep_alive.ts";
import { Lifetime, type Mortal } from "./lifetime.ts";
import type { Settings } from "./settings.ts";
import type { Face, Handlers } from "./handlers.ts";
import { freshPayload, Pings } from "./pings.ts";
import type { Member } from "../util/member_list.ts";
import { Phase } from "../protocol/closing_handshake.ts";
import { CLOSE, PING, PONG, type Role } from "../protocol/opcode.ts";
import { keySource } from "./masking_keys.ts";
import { Receiver, type ReceiverHost } from "./receiver.ts";
import { NOTHING_SENT, Sender, type SenderHost } from "./sender.ts";
import { printable } from "../util/quote.ts";
import { callForeign } from "../util/foreign.ts";
import { stackless } from "../util/stackless.ts";
import type { Timers } from "../util/timers.ts";
import { Trace } from "./trace.ts";
import type { Transport } from "../transport/transport.ts";

/**
 * The state of a connection; it only ever moves to the right.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({ hostname: "127.0.0.1" });
 * const conn = ctx.connect(listener.url);
 * console.log(conn.state); // "connecting"
 * await conn.opened;
 * console.log(conn.state); // "open"
 * conn.close();
 * console.log(conn.state); // "closing"
 * await conn.closed;
 * console.log(conn.state); // "closed"
 * ```
 */
export type ConnectionState = "connecting" | "open" | "closing" | "closed";

/** The state of each phase. */
const STATES: Record<Phase, ConnectionState> = {
  [Phase.Connecting]: "connecting",
  [Phase.Open]: "open",
  [Phase.ClosingByUs]: "closing",
  [Phase.ClosingByPeer]: "closing",
  [Phase.Failing]: "closing",
  [Phase.Flushing]: "closing",
  [Phase.ReadingOut]: "closing",
  [Phase.Ending]: "closing",
  [Phase.Closed]: "closed",
};

/** What an engine needs from its maker. */
export interface Owner {
  readonly timers: Timers;
  /** The handshake is complete. It began at `began`, by `performance.now()`. */
  opened(engine: Engine, began: number): void;
  /**
   * The connection has ended. It may never have opened.
   *
   * @returns A function to be called after `onClose`; `null` for none.
   */
  closed(engine: Engine): (() => void) | null;
}

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * One connection from its handshake to its end. It owns the phase, the settings, the callbacks, the result of the
 * handshake, keepalive and the lifetime. `Sender` sends, `Receiver` receives, and `Closer`, made when first needed, ends
 * the connection. `Connection` is the public object of an engine.
 */
export class Engine implements ReceiverHost, SenderHost, CloserHost, KeptAlive, Mortal, Member {
  slot = -1;
  readonly role: Role;
  readonly settings: Settings;
  readonly owner: Owner;
  /** The public object; set by the maker of the engine. */
  face!: Face;
  handlers: Handlers;
  phase: Phase = Phase.Connecting;
  handshakeResult: HandshakeResult | null = null;
  transport: Transport | null = null;
  /** The peer's address, if it isn't that of the stream because a proxy is between the two. */
  peer: Deno.Addr | null = null;
  readonly receiver: Receiver;
  pings: Pings | null = null;
  /** Cancels an attempt to connect. */
  cancel: (() => void) | null = null;
  /** The connection's subscriptions by topic; made with the first. */
  topics: ReadonlyMap<string, unknown> | null = null;
  /** Whether the connection keeps the process alive. */
  refed = true;
  readonly trace: Trace | null;
  /** Whether nothing can be received any more. */
  readShut = false;
  pauses = 0;
  /** When the attempt to connect began, then when the handshake was complete, by `performance.now()`. */
  since: number = performance.now();

  // Made when first needed, since most connections of a large server are silent.
  #sender: Sender | null = null;
  #closer: Closer | null = null;
  #keepAlive: KeepAlive | null = null;
  #lifetime: Lifetime | null = null;
  #openWaiters: Waiter[] | null = null;
  #takenWhileBusy = 0;

  constructor(owner: Owner, role: Role, settings: Settings, handlers: Handlers) {
    this.owner = owner;
    this.role = role;
    this.settings = settings;
    this.handlers = handlers;
    this.receiver = new Receiver(this);
    this.trace = settings.trace === null ? null : new Trace(settings.trace, role);
  }

  /** The peer's address; `null` if there is none. */
  get remoteAddr(): Deno.Addr | null {
    return this.peer ?? this.transport?.remoteAddr ?? null;
  }

  /** The phase, as the application sees it. */
  get state(): ConnectionState {
    return STATES[this.phase];
  }

  get isOpen(): boolean {
    return this.phase === Phase.Open;
  }

  /** The sending half. */
  get sender(): Sender {
    return this.#sender ?? this.#makeSender();
  }

  #makeSender(): Sender {
    const { role, settings, transport, handshakeResult } = this;
    const sender = this.#sender = new Sender(
      this,
      role === "server" ? null : keySource(settings.maskGenerator, (error) => this.report(error)),
    );
    if (transport !== null) sender.start(transport, handshakeResult!.compression);
    return sender;
  }

  get writer(): WritePump {
    return this.sender.writer;
  }

  /** Payload bytes that the kernel has not taken yet. */
  get queuedBytes(): number {
    return this.#sender === null ? 0 : this.#sender.queue.bytes;
  }

  /** Messages that the kernel has not taken yet. */
  get queuedMessages(): number {
    return this.#sender === null ? 0 : this.#sender.queue.messages;
  }

  // ---- Opening ----------------------------------------------------------------------------------------------------

  /**
   * The handshake is complete.
   *
   * @param early Bytes that came after it, or `null`.
   * @param later Whether callbacks wait for the next microtask, so that the caller gets the connection first.
   */
  open(
    transport: Transport,
    result: HandshakeResult,
    early: Uint8Array | null,
    later = false,
  ): void {
    const { settings } = this, { compression } = result;
    this.cancel = null;
    this.transport = transport;
    this.handshakeResult = result;
    this.#sender?.start(transport, compression);
    if (!this.refed) this.setRef(false);
    this.receiver.start(transport, early);
    this.phase = Phase.Open;
    const began = this.since;
    this.since = performance.now();
    this.trace?.opened(result.url, result.requestFields(), result.responseHeaders());
    if (settings.keepAlive !== null) {
      this.#keepAlive = new KeepAlive(this);
    }
    if (settings.maxLifetime !== Infinity) this.#lifetime = new Lifetime(this);
    this.owner.opened(this, began);
    for (const { resolve } of this.#openWaiters?.splice(0) ?? []) resolve();
    if (later) {
      this.receiver.holdReasons |= IN_CONNECT;
      queueMicrotask(() => this.#begin());
    } else {
      this.#begin();
    }
  }

  #begin(): void {
    if (this.phase >= Phase.Ending) return;
    this.receiver.holdReasons &= ~IN_CONNECT;
    const { onConnect } = this.handlers;
    if (onConnect !== undefined) {
      const settled = this.call(() => this.handlers.onConnect!(this.face));
      if (settled !== null) this.receiver.holdUntil(settled, IN_CONNECT);
    }
    this.receiver.reschedule();
  }

  /** The handshake has failed; `reported` says whether the application has to learn of it. */
  abandon(error: unknown, reported: boolean): void {
    if (this.phase !== Phase.Connecting) return;
    this.trace?.line(`handshake failed: ${error}`);
    const unheard = reported && this.role === "client" && !this.#heard;
    this.#close.abandon(error);
    if (unheard) console.error(`A WebSocket connection failed: ${printable(String(error))}`);
    else if (reported) this.reportFailure(error);
  }

  /** Whether the application will learn how an attempt to connect ends. */
  get #heard(): boolean {
    const { onError, onClose } = this.handlers;
    return (onError ?? onClose) !== undefined || this.#openWaiters !== null ||
      this.#closer !== null || this.receiver.claimed;
  }

  /**
   * Resolves with `info()` once the handshake is complete. Rejects directly, not through another promise, so that the
   * rejection comes before `onClose`.
   */
  opened<Info>(info: () => Info): Promise<Info> {
    if (this.handshakeResult !== null) return Promise.resolve(info());
    if (this.phase !== Phase.Connecting) return Promise.reject(this.#close.outcome.cause);
    return new Promise((resolve, reject) => {
      (this.#openWaiters ??= []).push({ resolve: () => resolve(info()), reject });
    });
  }

  /** Lets the connection keep the process alive, or not. */
  setRef(on: boolean): void {
    const { transport } = this;
    this.refed = on;
    if (transport !== null) {
      callForeign(() => on ? transport.ref?.() : transport.unref?.(), () => {});
    }
  }

  // ---- Receiving --------------------------------------------------------------------------------------------------

  cork(): void {
    this.#sender?.writer.cork();
  }

  uncork(): void {
    this.#sender?.writer.uncork();
  }

  get awaitsEnd(): boolean {
    // Once the close frame is written the stream is closed. Closing would interrupt a pending read.
    return this.endsLast || this.phase !== Phase.ClosingByPeer;
  }

  control(opcode: number, source: Source, start: number, end: number): void {
    const { trace, handlers, pings } = this, { bytes } = source;
    if (trace !== null) trace.control("<-", opcode, bytes.subarray(start, end));
    if (opcode === PING) {
      this.sender.answerPing(source, start, end);
      if (handlers.onPing) this.call(() => handlers.onPing!(this.face, bytes.slice(start, end)));
    } else if (opcode === PONG) {
      if (pings?.any) pings.answered(bytes.subarray(start, end));
      if (handlers.onPong) this.call(() => handlers.onPong!(this.face, bytes.slice(start, end)));
    } else if (opcode === CLOSE) {
      this.#close.closeReceived(bytes.subarray(start, end));
    }
  }

  inputEnded(): void {
    this.#close.inputEnded();
  }

  readFailed(error: unknown): void {
    this.#close.lost(error);
  }

  delivered(): void {
    this.#closer?.delivered();
  }

  /** Replaces callbacks. */
  on(handlers: Handlers): void {
    this.handlers = { ...this.handlers, ...handlers };
    this.receiver.handlersChanged();
  }

  // ---- Sending ----------------------------------------------------------------------------------------------------

  drained(): void {
    if (this.handlers.onDrain && this.phase < Phase.Ending) {
      this.call(() => this.handlers.onDrain!(this.face));
    }
  }

  compressed(): void {
    this.#closer?.compressed();
  }

  wrote(): void {
    this.#closer?.wrote();
  }

  writeFailed(error: unknown): void {
    this.#close.writeFailed(error);
  }

  /** Stops or resumes writing data frames. */
  holdSending(on: boolean): void {
    if (this.phase <= Phase.Open) this.sender.hold(on);
  }

  // ---- Closing ----------------------------------------------------------------------------------------------------

  get endsLast(): boolean {
    // The end that begins keeps the address of a TCP connection occupied. A stream of HTTP/2 has none: each end closes its
    // own direction, and some servers wait for the client to (RFC 8441 5).
    return this.role === "client" && this.transport?.multiplexed !== true;
  }

  /** Stops receiving for good: input is read and dropped undecoded. */
  shutRead(): void {
    if (this.readShut || this.phase >= Phase.Ending || this.transport === null) return;
    this.trace?.line("reading is shut down");
    this.readShut = true;
    this.receiver.dropMessages();
    this.receiver.discardInput();
    this.pings?.fail(() => this.closedError("wait for a pong"));
    this.receiver.reschedule();
    this.#closer?.readShutDown();
  }

  /** Stops sending for good: the queue is written, then our direction ends without a close frame. */
  shutWrite(): void {
    if (this.sender.shut || !this.isOpen) return;
    this.trace?.line("writing is shut down");
    // Pings can't be sent any more.
    this.#keepAlive?.stop();
    this.sender.shutDown();
  }

  /** Starts the closing handshake, after the messages that are queued. */
  close(code: number, reason: string): void {
    if (this.phase === Phase.Connecting) this.#cancelConnecting("close()");
    else this.#close.close(code, reason);
  }

  /** Ends the connection without a close frame. */
  terminate(): void {
    if (this.phase === Phase.Connecting) this.#cancelConnecting("terminate()");
    else this.#close.terminate();
  }

  /** The peer broke the protocol. */
  fail(error: unknown): void {
    this.#close.fail(error);
  }

  failInternally(error: unknown, reported: boolean): void {
    this.#close.failInternally(error, reported);
  }

  cannotSend(error: unknown): void {
    this.#close.lost(error);
  }

  overflow(error: Error): void {
    this.#close.overflow(error);
  }

  #cancelConnecting(by: string): void {
    const { cancel } = this;
    this.abandon(abortError(`The attempt to connect was cancelled by ${by}`), false);
    cancel?.();
  }

  left(): void {
    this.#keepAlive?.stop();
    this.#lifetime?.stop();
  }

  released(): void {
    for (const { reject } of this.#openWaiters?.splice(0) ?? []) reject(this.#close.outcome.cause);
    this.pings?.fail(() => this.closedError("wait for a pong"));
  }

  ended(record: CloseRecord): void {
    const after = this.owner.closed(this);
    this.#close.outcome.resolve();
    this.receiver.ended();
    if (this.handlers.onClose) this.call(() => this.handlers.onClose!(this.face, record));
    after?.();
  }

  get #close(): Closer {
    return this.#closer ??= new Closer(this);
  }

  /** The close record, once there is one. */
  get record(): LiveCloseRecord | null {
    return this.#closer === null ? null : this.#closer.outcome.record;
  }

  /** Resolves with the close record. */
  closed(): Promise<CloseRecord> {
    return this.#close.outcome.wait();
  }

  stateError(action: string, data?: unknown): Error {
    if (this.phase > Phase.Connecting) return this.closedError(action, data);
    return new InvalidStateError(
      `Cannot ${action} on a connecting connection: wait for opened or onConnect`,
      { data },
    );
  }

  /** The error of an action on a connection that isn't open any more. */
  closedError(action: string, data?: unknown): ConnectionClosedError {
    const close = this.record ?? undefined;
    if (this.handshakeResult === null && close?.cause instanceof Error) {
      const message = `Cannot ${action} on a connection that never opened: ${close.cause.message}`;
      return new ConnectionClosedError(message, { data, close });
    }
    const how = close === undefined ? "" : `: ${close}`;
    return new ConnectionClosedError(`Cannot ${action} on a ${this.state} connection${how}`, {
      data,
      close,
    });
  }

  // ---- Watching ---------------------------------------------------------------------------------------------------

  progress(): number {
    // Received bytes are a sign of life. So are bytes that the kernel takes while a write has to wait: the peer must
    // have made room for them.
    const writer = this.#sender?.writer;
    if (writer?.busy) this.#takenWhileBusy = writer.taken;
    // A transport may count bytes that don't reach us yet, such as those of an incomplete TLS record.
    const received = this.transport?.bytesReceived ?? this.receiver.bytes;
    return received + this.#takenWhileBusy;
  }

  readingStopped(): boolean {
    return !this.receiver.reading;
  }

  keepAlivePing(): void {
    if (!this.isOpen) return;
    const payload = freshPayload();
    (this.pings ??= new Pings()).note(payload);
    this.sender.requestControl(PING, payload);
  }

  keepAliveFailed(timeout: number): void {
    const message = `The peer was silent for ${timeout} ms after a ping`;
    this.#close.lost(stackless(() => new TimeoutError(message)));
  }

  sendTimedOut(): void {
    const message = `The peer read nothing for ${this.settings.sendTimeout} ms`;
    this.#close.lost(stackless(() => new TimeoutError(message)));
  }

  /** Runs a callback and reports its failure. Returns a promise of its end if it is asynchronous, else `null`. */
  call(callback: () => unknown): Promise<void> | null {
    return call(this, callback);
  }

  /** Reports an error to `onError`, or to the console if there is none. */
  report(error: unknown): void {
    report(this, error);
  }

  /** Reports what ended the connection; the close record carries it too. */
  reportFailure(error: unknown): void {
    if (this.handlers.onError !== undefined) report(this, error);
  }

  /** Returns a snapshot of the counters. */
  stats(): ConnectionStats {
    return {
      messagesReceived: this.receiver.received,
      bytesReceived: this.receiver.bytes,
      pauses: this.pauses,
      lastRoundTrip: this.pings?.lastRoundTrip ?? null,
      ...this.#sender === null ? NOTHING_SENT : this.#sender.stats(),
    };
  }
}
