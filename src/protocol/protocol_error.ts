import { stackless } from "../util/stackless.ts";

/**
 * The kinds of violations, by stable names: for metrics, tests, and programs that distinguish them.
 *
 * @see {@linkcode ProtocolError}
 */
export type ProtocolErrorReason =
  | "unexpected-mask"
  | "expected-mask"
  | "unexpected-rsv1"
  | "unexpected-rsv"
  | "invalid-opcode"
  | "expected-fin"
  | "invalid-control-length"
  | "invalid-length"
  | "unexpected-continuation"
  | "expected-continuation"
  | "invalid-close-length"
  | "invalid-close-code"
  | "invalid-utf8"
  | "invalid-compression"
  | "message-too-big"
  | "held-too-much";

/**
 * The peer has violated the protocol or a limit. The connection is closed with `closeCode`.
 *
 * @example
 * ```ts
 * import { Context, ProtocolError } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({
 *   hostname: "127.0.0.1",
 *   maxMessageSize: 10,
 *   onError(_conn, error) {
 *     if (error instanceof ProtocolError) console.log(error.closeCode, error.reason);
 *   },
 * });
 * const conn = ctx.connect(listener.url);
 * await conn.opened;
 * conn.send("more than ten bytes");
 * await conn.closed; // 1009, message-too-big
 * ```
 */
export class ProtocolError extends Error {
  /** The name of the class. */
  override readonly name = "ProtocolError";
  /** The code of the close frame that ends the connection (RFC 6455 7.4.1). */
  readonly closeCode: number;
  /** The kind of violation. */
  readonly reason: ProtocolErrorReason;

  /**
   * Makes an error for a violation.
   *
   * @param closeCode The code to close with.
   * @param reason The kind of violation.
   * @param message What was received, and why it isn't allowed.
   */
  constructor(closeCode: number, reason: ProtocolErrorReason, message: string) {
    super(message);
    this.closeCode = closeCode;
    this.reason = reason;
  }
}

/**
 * Makes the error for a violation by the peer, without a stack trace.
 *
 * @param closeCode The code to close with.
 * @param reason The kind of violation.
 * @param message What was received, and why it isn't allowed.
 */
export function violation(
  closeCode: number,
  reason: ProtocolErrorReason,
  message: string,
): ProtocolError {
  return stackless(() => new ProtocolError(closeCode, reason, message));
}
