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
import type { Timers } from "../util/timers.ts";
import { CloseOutcome } from "./close_outcome.ts";
import { CloseTimeout, type ClosingPeer } from "./close_timeout.ts";
import type { Receiver } from "./receiver.ts";
import type { Sender } from "./sender.ts";
import type { Settings } from "./settings.ts";
import type { Trace } from "./trace.ts";

/** What closing needs of its connection. */
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
  /** No message can be sent any more: what watches over an open connection rests. */
  left(): void;
  /** The stream is gone: rejects what was promised of it. */
  released(): void;
  /** Reports what ended the connection. */
  reportFailure(error: unknown): void;
  /** The connection has ended. */
  ended(record: CloseRecord): void;
}

/**
 * The end of a connection, made when something of it is needed first. It owns the closing handshake, the outcome (what
 * the close record says, and the promises of it) and the close timeout, and is the only one that moves the phase beyond
 * `Open`. What an event leads to is said by the table in `protocol/closing_handshake.ts`; here is how it is done.
 */
export class Closer implements ClosingPeer {
  readonly outcome: CloseOutcome = new CloseOutcome();
  readonly #host: CloserHost;
  readonly #handshake = new ClosingHandshake();
  #timeout: CloseTimeout | null = null;
  #unasked = false; // the stream ends, and neither side has closed: what led to it is news
  #reported = false;
  #deliveredWhileHeld = 0;

  constructor(host: CloserHost) {
    this.#host = host;
  }

  // ---- What the application wants ---------------------------------------------------------------------------------

  /** Starts the closing handshake, behind what is queued. Nothing is delivered any more. */
  close(code: number, reason: string): void {
    const host = this.#host;
    // What a consumer may still take of a closed connection stays.
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

  /** Gives up on a peer whose queue has overflowed: what is queued is thrown away. */
  overflow(error: unknown): void {
    const host = this.#host, { sender } = host, { messages, bytes } = sender.queue;
    this.outcome.cause ??= error;
    sender.dropQueue();
    this.outcome.unsent({ messages, bytes }, sender.queue);
    this.close(TRY_AGAIN_LATER, "");
    sender.failWaits();
    this.#report();
  }

  /** Reading is shut down: a closing connection has nothing to wait for any more. */
  readShutDown(): void {
    this.#settle();
  }

  // ---- What the peer does -----------------------------------------------------------------------------------------

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
      this.outcome.cause ??= new Deno.errors.UnexpectedEof(
        "The connection ended without a close frame from the peer",
      );
    }
    this.#step(PhaseEvent.InputEnded);
    if (phase === Phase.Open) this.#report();
  }

  /** The peer broke the protocol. The one way in which a connection is failed (RFC 6455 7.1.7). */
  fail(error: unknown): void {
    const violation = error instanceof ProtocolError;
    this.#fail(error, violation ? error.closeCode : INTERNAL_ERROR, violation ? error.message : "");
  }

  /** We can't go on; the peer learns no more than that. */
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

  // ---- What the stream does ---------------------------------------------------------------------------------------

  /** The stream can't be read any more, or the peer is given up. */
  lost(error: unknown): void {
    const { phase } = this.#host;
    if (phase >= Phase.Ending) return;
    if (phase !== Phase.ClosingByPeer) this.#blame(error);
    this.#step(PhaseEvent.Lost);
  }

  /** The stream can't be written any more. What the peer sent before it went may still be there to be read. */
  writeFailed(error: unknown): void {
    const { phase } = this.#host;
    if (phase >= Phase.Ending) return;
    if (phase !== Phase.ClosingByPeer) this.#blame(error);
    this.#countUnsent();
    this.#host.sender.stopWriting();
    this.#step(PhaseEvent.WriteFailed);
  }

  /** Notes what ends the connection: the first of it counts. Foreign code may fail with nothing to say. */
  #blame(error: unknown): void {
    this.outcome.cause ??= error ?? new Error("The connection has failed, and nothing says why");
  }

  /** Reports the one cause, if there is one, once: what follows from it isn't news. */
  #report(): void {
    if (this.#reported || this.outcome.cause === undefined) return;
    this.#reported = true;
    this.#host.reportFailure(this.outcome.cause);
  }

  /** The kernel has taken something. */
  wrote(): void {
    this.#settle();
  }

  /** Compressing goes on: the peer isn't to blame for the time that takes. */
  compressed(): void {
    this.#timeout?.start();
  }

  /** After the stream was gone: what could be delivered has been. */
  delivered(): void {
    this.#settle();
  }

  // ---- The handshake's failure ------------------------------------------------------------------------------------

  /** There will be no connection. */
  abandon(cause: unknown): void {
    this.outcome.cause = cause;
    this.#step(PhaseEvent.Lost);
  }

  // ---- The phases -------------------------------------------------------------------------------------------------

  /** Does what the table says about an event, and then about everything that is so already. */
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

  /** What is so already needn't happen: the queue may be out, and the peer's end may be seen, or of no interest. */
  #settle(): void {
    const host = this.#host, { receiver, sender } = host;
    if (host.phase > Phase.Open && host.phase < Phase.Ending) {
      if (host.readShut) this.#take(PhaseEvent.InputEnded);
      if (sender.writer.idle) this.#take(PhaseEvent.Taken);
      receiver.reschedule();
    }
    if (host.phase === Phase.Ending && !receiver.unfinished) this.#take(PhaseEvent.Delivered);
    // Not before: while the peer's direction is read out, its close frame may still come.
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

  /** Messages that wait behind an unfinished one can't be sent any more. */
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

  /** Lets go of the stream and of all that watches over it. */
  #closeStream(): void {
    const host = this.#host, { receiver, sender, transport } = host;
    this.#countUnsent();
    this.#timeout?.stop();
    host.left();
    receiver.stop();
    sender.stopWriting();
    const orderly = this.outcome.isOrderly(this.#handshake);
    // It may be closed already, by its owner perhaps.
    if (transport !== null) {
      const end = orderly || transport.cut === undefined ? "close" : "cut";
      callForeign(() => transport[end]!(), () => {});
    }
    host.released();
    // What was received is delivered, by a callback that settles; one that never does is waited for in vain.
    if (receiver.unfinished) (this.#timeout ??= new CloseTimeout(this)).start();
  }

  #reportEnd(): void {
    const host = this.#host, { undelivered, waiting } = host.receiver;
    this.#timeout?.stop();
    // What waits may still be taken by a consumer, one by one.
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
    // A peer that goes on sending gains no time by it. An application that still handles what came before does.
    if (!receiver.reading) this.#deliveredWhileHeld = receiver.received - receiver.waiting;
    return sender.writer.taken + this.#deliveredWhileHeld;
  }

  closeIsExempt(): boolean {
    const { phase, receiver } = this.#host;
    // A pause is the application's, and ends when it says.
    return receiver.paused && (phase === Phase.Ending || phase === Phase.ReadingOut);
  }

  closeTimedOut(): void {
    const host = this.#host, { phase } = host;
    if (phase === Phase.Ending) host.receiver.dropMessages();
    else {
      this.outcome.cause ??= new TimeoutError(`Not closed within ${host.settings.closeTimeout} ms`);
    }
    this.#step(PhaseEvent.TimedOut);
  }
}
