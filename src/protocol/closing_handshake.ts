/** A code and reason as they stood in a close frame; 1005 and `""` where the frame was empty (RFC 6455 7.1.5). */
export interface CloseFrame {
  /** The close code. */
  readonly code: number;
  /** The reason, at most 123 bytes of UTF-8. */
  readonly reason: string;
}

/**
 * The closing handshake (RFC 6455 7.1), the same for both roles. Each side sends one close frame and, once it has,
 * no data; the connection is closed cleanly when both have gone out.
 *
 *     neither sent --send--> sent --receive--> both     initiated here
 *     neither sent --receive--> received --send--> both  initiated there
 *
 * Frames that cross on the wire take the first row on both sides.
 */
export class ClosingHandshake {
  sent: CloseFrame | null = null;
  received: CloseFrame | null = null;
  initiator: "local" | "remote" | null = null;

  /** Whether a close frame has been sent or received. */
  get started(): boolean {
    return this.initiator !== null;
  }

  /** Whether both close frames have been exchanged. */
  get complete(): boolean {
    return this.sent !== null && this.received !== null;
  }

  /** Notes that our close frame goes out; `false` where one already has, and nothing may be sent. */
  send(code: number, reason: string): boolean {
    if (this.sent !== null) return false;
    this.sent = { code, reason };
    this.initiator ??= "local";
    return true;
  }

  /** Notes the peer's close frame. */
  receive(frame: CloseFrame): void {
    this.received = frame;
    this.initiator ??= "remote";
  }
}
