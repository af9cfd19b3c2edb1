import { type CloseFrame, legalCloseFrame } from "./close_code.ts";

// The life of a connection from its opening handshake to its end (RFC 6455 7.1), as a table of phases and events, without
// I/O and timers. A connection is always in exactly one phase. The send queue is written in every phase before `Ending`,
// except `ReadingOut`, and the close timeout bounds every phase after `Open`.

/** The phases of a connection. Its phase only ever moves to a larger number. */
export const Phase = {
  /** The handshake isn't complete. */
  Connecting: 0,
  /** Messages are sent and received. */
  Open: 1,
  /** Our close frame is queued. The peer's input is decoded up to its close frame. */
  ClosingByUs: 2,
  /** The peer's close frame was received, first or as an answer. Ours is at least queued. Input is discarded. */
  ClosingByPeer: 3,
  /** The peer broke the protocol, or we can't continue. Our close frame is queued, and input is discarded. */
  Failing: 4,
  /** The peer's direction has ended, or is shut down. Only the send queue is still written. */
  Flushing: 5,
  /** Nothing can be written any more. Input that the peer sent before that is read; it may contain a close frame. */
  ReadingOut: 6,
  /** The stream is closed. Received messages are still delivered. */
  Ending: 7,
  /** The record is reported, or is about to be. */
  Closed: 8,
} as const;

/** One of the phases. */
export type Phase = typeof Phase[keyof typeof Phase];

/** The events that change the phase. */
export const PhaseEvent = {
  /** The handshake is complete. */
  Opened: 0,
  /** The application closes. */
  Close: 1,
  /** The application ends the connection without a close frame. */
  Terminate: 2,
  /** The peer's close frame was received. */
  CloseReceived: 3,
  /** The peer broke the protocol, or we can't continue. */
  Fail: 4,
  /** The peer's direction has ended without a close frame, or after one. */
  InputEnded: 5,
  /** The stream can't be read any more, or a timeout has ended the connection. */
  Lost: 6,
  /** The stream can't be written any more. */
  WriteFailed: 7,
  /** The kernel has taken everything that was queued, our close frame included. */
  Taken: 8,
  /** The close timeout has expired. */
  TimedOut: 9,
  /** All received messages that can be delivered have been. */
  Delivered: 10,
} as const;

/** One of the events. */
export type PhaseEvent = typeof PhaseEvent[keyof typeof PhaseEvent];

/** The reactions to an event. */
export const PhaseAction = {
  /** Nothing. */
  Wait: 0,
  /** Queue a close frame, unless our direction is shut down. */
  SendClose: 1,
  /** End our direction only. Closing with unread input would reset the connection and lose our close frame. */
  HalfClose: 2,
  /** Close the stream. */
  CloseStream: 3,
  /** Report to the application how the connection ended. */
  Report: 4,
} as const;

/** One of the actions. */
export type PhaseAction = typeof PhaseAction[keyof typeof PhaseAction];

/** The phase after an event, and the reaction to it. */
export interface Step {
  readonly phase: Phase;
  readonly action: PhaseAction;
}

const end: Step = { phase: Phase.Ending, action: PhaseAction.CloseStream };
const flush: Step = { phase: Phase.Flushing, action: PhaseAction.Wait };
const readOut: Step = { phase: Phase.ReadingOut, action: PhaseAction.Wait };
const report: Step = { phase: Phase.Closed, action: PhaseAction.Report };

/** The step for each event in each phase; an event that is missing changes nothing. */
const TABLE: Record<Phase, { readonly [event in PhaseEvent]?: Step }> = {
  [Phase.Connecting]: {
    [PhaseEvent.Opened]: { phase: Phase.Open, action: PhaseAction.Wait },
    [PhaseEvent.Close]: end,
    [PhaseEvent.Terminate]: end,
    [PhaseEvent.Lost]: end,
  },
  [Phase.Open]: {
    [PhaseEvent.Close]: { phase: Phase.ClosingByUs, action: PhaseAction.SendClose },
    [PhaseEvent.Terminate]: end,
    [PhaseEvent.CloseReceived]: { phase: Phase.ClosingByPeer, action: PhaseAction.SendClose },
    [PhaseEvent.Fail]: { phase: Phase.Failing, action: PhaseAction.SendClose },
    [PhaseEvent.InputEnded]: flush,
    [PhaseEvent.Lost]: end,
    [PhaseEvent.WriteFailed]: readOut,
  },
  [Phase.ClosingByUs]: {
    [PhaseEvent.Terminate]: end,
    [PhaseEvent.CloseReceived]: { phase: Phase.ClosingByPeer, action: PhaseAction.Wait },
    // Our close frame is queued already; a second one must not follow (RFC 6455 5.5.1).
    [PhaseEvent.Fail]: { phase: Phase.Failing, action: PhaseAction.Wait },
    [PhaseEvent.InputEnded]: flush,
    [PhaseEvent.Lost]: end,
    [PhaseEvent.WriteFailed]: readOut,
    [PhaseEvent.TimedOut]: end,
  },
  [Phase.ClosingByPeer]: {
    [PhaseEvent.Terminate]: end,
    [PhaseEvent.InputEnded]: flush,
    [PhaseEvent.Lost]: end,
    [PhaseEvent.WriteFailed]: end,
    // Unless the other end is to end the stream first.
    [PhaseEvent.Taken]: end,
    [PhaseEvent.TimedOut]: end,
  },
  [Phase.Failing]: {
    [PhaseEvent.Terminate]: end,
    [PhaseEvent.InputEnded]: flush,
    [PhaseEvent.Lost]: end,
    [PhaseEvent.WriteFailed]: end,
    [PhaseEvent.Taken]: { phase: Phase.Failing, action: PhaseAction.HalfClose },
    [PhaseEvent.TimedOut]: end,
  },
  [Phase.Flushing]: {
    [PhaseEvent.Terminate]: end,
    [PhaseEvent.Lost]: end,
    [PhaseEvent.WriteFailed]: end,
    [PhaseEvent.Taken]: end,
    [PhaseEvent.TimedOut]: end,
  },
  [Phase.ReadingOut]: {
    [PhaseEvent.Terminate]: end,
    [PhaseEvent.CloseReceived]: end,
    [PhaseEvent.Fail]: end,
    [PhaseEvent.InputEnded]: end,
    [PhaseEvent.Lost]: end,
    [PhaseEvent.TimedOut]: end,
  },
  [Phase.Ending]: {
    [PhaseEvent.TimedOut]: report,
    [PhaseEvent.Delivered]: report,
  },
  [Phase.Closed]: {},
};

const STAYS: readonly Step[] = Object.values(Phase).map((phase) => ({
  phase,
  action: PhaseAction.Wait,
}));

/**
 * Returns the step for an event in a phase.
 *
 * @param endsLast Whether the other end is to end the stream first, as a server is to end a TCP connection (RFC 6455 7.1.1).
 */
export function next(phase: Phase, event: PhaseEvent, endsLast: boolean): Step {
  const waits = endsLast && phase === Phase.ClosingByPeer && event === PhaseEvent.Taken;
  return (waits ? undefined : TABLE[phase][event]) ?? STAYS[phase];
}

/**
 * The close frames of both sides, and which came first. Each side sends one close frame, and no data after it. If the two
 * cross on the wire, each side is the initiator in its own view.
 */
export class ClosingHandshake {
  /** Our close frame. */
  sent: CloseFrame | null = null;
  /** The peer's close frame. */
  received: CloseFrame | null = null;
  /** The side that sent its close frame first. */
  initiator: "local" | "remote" | null = null;

  /** Whether both close frames have been exchanged. */
  get complete(): boolean {
    return this.sent !== null && this.received !== null;
  }

  /** Notes our close frame; returns the legal form of it, or `null` if there is one already: a second must not follow. */
  send(code: number, reason: string): CloseFrame | null {
    if (this.sent !== null) return null;
    this.initiator ??= "local";
    return this.sent = legalCloseFrame(code, reason);
  }

  /** Notes the peer's close frame. */
  receive(frame: CloseFrame): void {
    this.received = frame;
    this.initiator ??= "remote";
  }
}
