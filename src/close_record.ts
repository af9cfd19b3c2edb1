/** A code and reason as they stood in a close frame; 1005 and `""` where the frame was empty (RFC 6455 7.1.5). */
export interface CloseFrame {
  readonly code: number;
  readonly reason: string;
}

/** How a connection ended. */
export interface CloseRecord {
  /** The received code; 1005 if the frame had none, 1006 if no close frame arrived (RFC 6455 7.1.5). */
  readonly code: number;
  /** The received reason; `""` if there was none. */
  readonly reason: string;
  /** Whether close frames went both ways. */
  readonly wasClean: boolean;
  /** Our close frame, or `null` if none was sent. */
  readonly sent: CloseFrame | null;
  /** The peer's close frame, or `null` if none was received. */
  readonly received: CloseFrame | null;
  /** Whose close frame came first; `null` if there was none. */
  readonly initiator: "local" | "remote" | null;
  /** The error that ended the connection, if it was one. */
  readonly cause: unknown;
  /** Messages accepted by `send` that the system had not fully taken. */
  readonly unsentMessages: number;
  /** Payload bytes accepted by `send` that the system had not taken. */
  readonly unsentBytes: number;
  /** Received messages that were never delivered. */
  readonly undelivered: number;
  /** The record as a sentence. */
  toString(): string;
}
