import { type CloseFrame, legalCloseFrame } from "./close_code.ts";

// How a connection gets from its handshake to its end (RFC 6455 7.1), as a table of phases and events: no I/O, no timers,
// and a connection is always in exactly one of them. What is queued to be sent goes out in every phase before
// `Ending`, and the wait in each of them is bounded by the close timeout.

/** Where a connection is. The numbers only ever grow. */
export const Phase = {
  /** The handshake isn't complete. */
  Connecting: 0,
  /** Messages go both ways. */
  Open: 1,
  /** Our close frame is queued. The peer's input is decoded up to its close frame. */
  ClosingByUs: 2,
  /** The peer's close frame is here, first or as an answer, and ours is at least queued. Input is discarded. */
  ClosingByPeer: 3,
  /** The peer broke the protocol, or we can't go on: our close frame is queued, and input is discarded. */
  Failing: 4,
  /** The peer's direction has ended, or is shut down: what is queued goes out, and that is all. */
  Flushing: 5,
  /** Nothing can be written any more: what the peer sent before that is read, a close frame perhaps. */
  ReadingOut: 6,
  /** The stream is gone: what was received is delivered. */
  Ending: 7,
  /** The record is reported, or is about to be. */
  Closed: 8,
} as const;

/** One of the phases. */
export type Phase = typeof Phase[keyof typeof Phase];

/** What may happen to a connection. */
export const PhaseEvent = {
  /** The handshake is complete. */
  Opened: 0,
  /** The application closes. */
  Close: 1,
  /** The application ends the connection without a close frame. */
  Terminate: 2,
  /** The peer's close frame was received. */
  CloseReceived: 3,
  /** The peer broke the protocol, or we can't go on. */
  Fail: 4,
  /** The peer's direction has ended without a close frame, or after one. */
  InputEnded: 5,
  /** The stream can't be read any more, or the peer is given up. */
  Lost: 6,
  /** The stream can't be written any more. */
  WriteFailed: 7,
  /** The kernel has taken everything that was queued, our close frame included. */
  Taken: 8,
  /** The close timeout is over. */
  TimedOut: 9,
  /** Everything that is to be delivered has been. */
  Delivered: 10,
} as const;

/** One of the events. */
export type PhaseEvent = typeof PhaseEvent[keyof typeof PhaseEvent];

/** What is to be done about an event. */
export const PhaseAction = {
  /** Nothing. */
  Wait: 0,
  /** Queue a close frame; if our direction is shut down, none can be sent. */
  SendClose: 1,
  /** End our direction. Closing with input unread would reset the connection, and lose our close frame on its way. */
  HalfClose: 2,
  /** Let go of the stream. */
  CloseStream: 3,
  /** Report to the application how the connection ended. */
  Report: 4,
} as const;

/** One of the actions. */
export type PhaseAction = typeof PhaseAction[keyof typeof PhaseAction];

/** The phase after an event, and what is to be done. */
export interface Step {
  readonly phase: Phase;
  readonly action: PhaseAction;
}

const end: Step = { phase: Phase.Ending, action: PhaseAction.CloseStream };
const flush: Step = { phase: Phase.Flushing, action: PhaseAction.Wait };
const readOut: Step = { phase: Phase.ReadingOut, action: PhaseAction.Wait };
const report: Step = { phase: Phase.Closed, action: PhaseAction.Report };

/** What every event but those that are missing leads to; a missing one changes nothing. */
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
 * What an event leads to in a phase.
 *
 * @param endsLast Whether the other end is to end the stream first, as a server is to end a TCP connection (RFC 6455 7.1.1).
 */
export function next(phase: Phase, event: PhaseEvent, endsLast: boolean): Step {
  const waits = endsLast && phase === Phase.ClosingByPeer && event === PhaseEvent.Taken;
  return (waits ? undefined : TABLE[phase][event]) ?? STAYS[phase];
}

/**
 * The close frames of both sides, and whose came first. Each side sends one and, once it has, no data; the connection is
 * closed cleanly if both have gone out. Frames that cross on the wire are each side's own beginning.
 */
export class ClosingHandshake {
  /** Our close frame. */
  sent: CloseFrame | null = null;
  /** The peer's. */
  received: CloseFrame | null = null;
  /** Which side began. */
  initiator: "local" | "remote" | null = null;

  /** Whether both close frames have been exchanged. */
  get complete(): boolean {
    return this.sent !== null && this.received !== null;
  }

  /** Notes our close frame; returns what goes out of it, or `null` if one has already: there must be no second. */
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
