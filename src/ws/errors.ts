import type { ProtocolError, ProtocolErrorReason } from "../protocol/protocol_error.ts";

/** The codes of `ws` by our reasons: those of a `RangeError` here, those of an `Error` in `PLAIN_CODES`. */
const CODES: Partial<Record<ProtocolErrorReason, string>> = {
  "expected-fin": "WS_ERR_EXPECTED_FIN",
  "expected-mask": "WS_ERR_EXPECTED_MASK",
  "unexpected-mask": "WS_ERR_UNEXPECTED_MASK",
  "unexpected-rsv1": "WS_ERR_UNEXPECTED_RSV_1",
  "unexpected-rsv": "WS_ERR_UNEXPECTED_RSV_2_3",
  "invalid-opcode": "WS_ERR_INVALID_OPCODE",
  "unexpected-continuation": "WS_ERR_INVALID_OPCODE",
  "expected-continuation": "WS_ERR_INVALID_OPCODE",
  "invalid-close-code": "WS_ERR_INVALID_CLOSE_CODE",
  "invalid-close-length": "WS_ERR_INVALID_CONTROL_PAYLOAD_LENGTH",
  "invalid-control-length": "WS_ERR_INVALID_CONTROL_PAYLOAD_LENGTH",
  "invalid-length": "WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH",
  "message-too-big": "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH",
};
const PLAIN_CODES: Partial<Record<ProtocolErrorReason, string>> = {
  "invalid-utf8": "WS_ERR_INVALID_UTF8",
  "invalid-compression": "Z_DATA_ERROR",
};

/** Converts a protocol error to the one that `ws` emits, with its code. */
export function emittedError(cause: ProtocolError): Error & { code: string } {
  const { message, reason } = cause, plain = PLAIN_CODES[reason];
  return plain === undefined
    ? Object.assign(new RangeError(message, { cause }), { code: CODES[reason] ?? "" })
    : Object.assign(new Error(message, { cause }), { code: plain });
}

/** The names of the ready states. */
const STATES = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"];

/** The error for calls that need an open socket. */
export function notOpen(readyState: number): Error {
  return new Error(`WebSocket is not open: readyState ${readyState} (${STATES[readyState]})`);
}
