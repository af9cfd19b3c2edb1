import { TimeoutError } from "../errors.ts";
import {
  decodeClosePayload,
  INTERNAL_ERROR,
  NO_STATUS,
  TRY_AGAIN_LATER,
} from "../protocol/close_code.ts";
import type { CloseRecord } from "../protocol/close_record.ts";
import {
  ClosingHandshake,
  next,
  Phase,
  PhaseAction,
  PhaseEvent,
} from "../protocol/closing_handshake.ts";
import { ProtocolError } from "../protocol/protocol_error.ts";
import type { Transport } from "../transport/transport.ts";
import { callForeign } from "../util/foreign.ts";
import { stackless } from "../util/stackless.ts";
import type { Timers } from "../util/timers.ts";
import { CloseOutcome } from "./close_outcome.ts";
import { CloseTimeout, type ClosingPeer } from "./close_timeout.ts";
import type { Receiver } from "./receiver.ts";
import type { Sender } from "./sender.ts";
import type { Settings } from "./settings.ts";
import type { Trace } from "./trace.ts";

/** What closing needs from its connection. */
export interface CloserHost {
  phase: Phase;
  /** Whether the other end is to end the stream first. */
  readonly endsLast: boolean;
  readonly settings: Settings;
  readonly owner: { readonly timers: Timers };
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly transport: Transport | null;
  readonly trace: Trace | null;
  /** Whether nothing can be received any more, since the peer's direction was shut down. */
  readonly readShut: boolean;
  /** No message can be sent any more: the timers of an open connection stop. */
  left(): void;
  /** The stream is closed: rejects the promises that depend on it. */
  released(): void;
  /** Reports what ended the connection. */
  reportFailure(error: unknown): void;
  /** The connection has ended. */
  ended(record: CloseRecord): void;
}

/**
 * The end of a connection, made when it is first needed. It owns the closing handshake, the outcome (the contents of the
 * close record, and its promises) and the close timeout. No other class moves the phase beyond `Open`. The table in
 * `protocol/closing_handshake.ts` says what each event leads to; this class carries it out.
 */
export class Closer implements ClosingPeer {
  readonly outcome: CloseOutcome = new CloseOutcome();
  readonly #host: CloserHost;
  readonly #handshake = new ClosingHandshake();
  #timeout: CloseTimeout | null = null;
  #unasked = false; // the stream ends although neither side has closed: its cause has to be reported
  #reported = false;
  #deliveredWhileHeld = 0;

  constructor(host: CloserHost) {
    this.#host = host;
  }

  // ---- Calls of the application -----------------------------------------------------------------------------------

  /** Starts the closing handshake, after the messages that are queued. Nothing is delivered any more. */
  close(code: number, reason: string): void {
    const host = this.#host;
    // A consumer may still take the messages that wait on a closed connection.
    if (host.phase === Phase.Closed) return;
    host.receiver.dropMessages();
    this.#step(PhaseEvent.Close, code, reason);
  }

  /** Ends the connection without a close frame. */
  terminate(): void {
    if (this.#host.phase === Phase.Closed) return;
    this.#host.receiver.dropMessages();
    this.#unasked = false;
    this.#step(PhaseEvent.Terminate);
  }

  /** Gives up on a peer whose send queue has overflowed: the queue is dropped. */
  overflow(error: unknown): void {
    const host = this.#host, { sender } = host, { messages, bytes } = sender.queue;
    this.outcome.cause ??= error;
    sender.dropQueue();
    this.outcome.unsent({ messages, bytes }, sender.queue);
    this.close(TRY_AGAIN_LATER, "");
    sender.failWaits();
    this.#report();
  }

  /** Reading is shut down: a closing connection doesn't wait for the peer any more. */
  readShutDown(): void {
    this.#settle();
  }

  // ---- Events from the peer ---------------------------------------------------------------------------------------

  /** A close frame was received. */
  closeReceived(payload: Uint8Array): void {
    const { code, reason } = decodeClosePayload(payload);
    this.#handshake.receive({ code, reason });
    this.#unasked = false;
    this.#host.receiver.discardInput();
    this.#step(PhaseEvent.CloseReceived, code, reason);
  }

  /** The peer's direction has ended. */
  inputEnded(): void {
    const host = this.#host, { phase } = host;
    // If reading is shut down no close frame can arrive; if writing is, the peer has answered our FIN with its own.
    const expected = host.readShut || host.sender.shut;
    if (!expected && (phase === Phase.Open || phase === Phase.ClosingByUs)) {
      this.outcome.cause ??= stackless(() =>
        new Deno.errors.UnexpectedEof("The connection ended without a close frame from the peer")
      );
    }
    this.#step(PhaseEvent.InputEnded);
    if (phase === Phase.Open) this.#report();
  }

  /** Fails the connection, since the peer broke the protocol (RFC 6455 7.1.7). */
  fail(error: unknown): void {
    const violation = error instanceof ProtocolError;
    this.#fail(error, violation ? error.closeCode : INTERNAL_ERROR, violation ? error.message : "");
  }

  /** Fails the connection for a reason of our own, which the peer doesn't learn. */
  failInternally(error: unknown, reported: boolean): void {
    this.#fail(error, INTERNAL_ERROR, "", reported);
  }

  #fail(error: unknown, code: number, reason: string, reported = true): void {
    const host = this.#host, { phase } = host;
    if (phase !== Phase.Open && phase !== Phase.ClosingByUs && phase !== Phase.ReadingOut) return;
    this.#blame(error);
    host.receiver.discardInput();
    this.#step(PhaseEvent.Fail, code, reason);
    if (reported || phase === Phase.ReadingOut) this.#report();
  }

  // ---- Events of the stream ---------------------------------------------------------------------------------------

  /** The stream can't be read any more, or a timeout has ended the connection. */
  lost(error: unknown): void {
    const { phase } = this.#host;
    if (phase >= Phase.Ending) return;
    if (phase !== Phase.ClosingByPeer) this.#blame(error);
    this.#step(PhaseEvent.Lost);
  }

  /** The stream can't be written any more. Bytes that the peer sent before it closed may still be readable. */
  writeFailed(error: unknown): void {
    const { phase } = this.#host;
    if (phase >= Phase.Ending) return;
    if (phase !== Phase.ClosingByPeer) this.#blame(error);
    this.#countUnsent();
    this.#host.sender.stopWriting();
    this.#step(PhaseEvent.WriteFailed);
  }

  /** Notes the cause of the end, unless there is one already. Foreign code may reject with `undefined`. */
  #blame(error: unknown): void {
    this.outcome.cause ??= error ??
      new Error("The connection has failed with undefined as its error");
  }

  /** Reports the cause, if there is one, and only once: later errors follow from it. */
  #report(): void {
    if (this.#reported || this.outcome.cause === undefined) return;
    this.#reported = true;
    this.#host.reportFailure(this.outcome.cause);
  }

  /** The kernel has taken bytes. */
  wrote(): void {
    this.#settle();
  }

  /** A queued message was compressed. The time that takes must not count against the peer. */
  compressed(): void {
    this.#timeout?.start();
  }

  /** The stream is closed, and all messages that could be delivered have been. */
  delivered(): void {
    this.#settle();
  }

  // ---- The handshake's failure ------------------------------------------------------------------------------------

  /** The opening handshake has failed: there will be no connection. */
  abandon(cause: unknown): void {
    this.outcome.cause = cause;
    this.#step(PhaseEvent.Lost);
  }

  // ---- The phases -------------------------------------------------------------------------------------------------

  /** Does what the table says about an event, then about those that have happened already. */
  #step(event: PhaseEvent, code: number = NO_STATUS, reason = ""): void {
    this.#take(event, code, reason);
    this.#settle();
  }

  #take(event: PhaseEvent, code: number = NO_STATUS, reason = ""): void {
    const host = this.#host;
    const { phase, action } = next(host.phase, event, host.endsLast);
    if (phase !== host.phase) this.#enter(phase);
    switch (action) {
      case PhaseAction.SendClose:
        this.#sendClose(code, reason);
        break;
      case PhaseAction.HalfClose:
        host.sender.writer.endWriting();
        break;
      case PhaseAction.CloseStream:
        this.#closeStream();
        break;
      case PhaseAction.Report:
        queueMicrotask(() => this.#reportEnd());
    }
  }

  /** Raises the events that won't come again in this phase: the queue may be empty, and the peer's direction ended. */
  #settle(): void {
    const host = this.#host, { receiver, sender } = host;
    if (host.phase > Phase.Open && host.phase < Phase.Ending) {
      if (host.readShut) this.#take(PhaseEvent.InputEnded);
      if (sender.writer.idle) this.#take(PhaseEvent.Taken);
      receiver.reschedule();
    }
    if (host.phase === Phase.Ending && !receiver.unfinished) this.#take(PhaseEvent.Delivered);
    // Not earlier: while the rest of the peer's direction is read, its close frame may still come.
    if (host.phase >= Phase.Ending && this.#unasked) this.#report();
  }

  #enter(phase: Phase): void {
    const host = this.#host;
    const wasOpen = host.phase === Phase.Open;
    host.phase = phase;
    if (wasOpen) {
      this.#unasked = phase >= Phase.Flushing;
      host.trace?.line("state closing");
      host.left();
      this.#cutStreams();
    }
    if (phase < Phase.Ending) (this.#timeout ??= new CloseTimeout(this)).start();
  }

  /** Messages that are queued after an unfinished one can't be sent any more. */
  #cutStreams(): void {
    const { queue, streams } = this.#host.sender;
    if (streams === null) return;
    const { messages, bytes } = queue;
    streams.abort();
    this.outcome.unsent({ messages, bytes }, queue);
  }

  #sendClose(code: number, reason: string): void {
    const { sender } = this.#host;
    if (sender.shut) return;
    const frame = this.#handshake.send(code, reason);
    if (frame !== null) sender.pushClose(frame.code, frame.reason);
  }

  #countUnsent(): void {
    const { queue, writer } = this.#host.sender;
    this.outcome.unsent(queue);
    if (!writer.dataTaken) this.outcome.closeFrameLost();
  }

  /** Closes the stream and stops the timers. */
  #closeStream(): void {
    const host = this.#host, { receiver, sender, transport } = host;
    this.#countUnsent();
    this.#timeout?.stop();
    host.left();
    receiver.stop();
    sender.stopWriting();
    const orderly = this.outcome.isOrderly(this.#handshake);
    // Its owner may have closed it already, so closing may throw.
    if (transport !== null) {
      const end = orderly || transport.cut === undefined ? "close" : "cut";
      callForeign(() => transport[end]!(), () => {});
    }
    host.released();
    // Received messages are still delivered, unless the promise of a callback never settles.
    if (receiver.unfinished) (this.#timeout ??= new CloseTimeout(this)).start();
  }

  #reportEnd(): void {
    const host = this.#host, { undelivered, waiting } = host.receiver;
    this.#timeout?.stop();
    // A consumer may still take the messages that wait, one by one, which the record then counts.
    const record = this.outcome.build(this.#handshake, undelivered + waiting);
    host.trace?.line(`state closed: ${record}`);
    host.ended(record);
  }

  // ---- The timeout ------------------------------------------------------------------------------------------------

  get owner(): { readonly timers: Timers } {
    return this.#host.owner;
  }

  get settings(): Settings {
    return this.#host.settings;
  }

  closeProgress(): number {
    const { receiver, sender } = this.#host;
    // Received bytes don't count as progress. Messages that the application handles while nothing is read do.
    if (!receiver.reading) this.#deliveredWhileHeld = receiver.received - receiver.waiting;
    return sender.writer.taken + this.#deliveredWhileHeld;
  }

  closeIsExempt(): boolean {
    const { phase, receiver } = this.#host;
    // Only the application ends its pause.
    return receiver.paused && (phase === Phase.Ending || phase === Phase.ReadingOut);
  }

  closeTimedOut(): void {
    const host = this.#host, { phase } = host;
    if (phase === Phase.Ending) host.receiver.dropMessages();
    else {
      this.outcome.cause ??= stackless(() =>
        new TimeoutError(`Not closed within ${host.settings.closeTimeout} ms`)
      );
    }
    this.#step(PhaseEvent.TimedOut);
  }
}
