import { LONGEST_CONTROL } from "./frame_header.ts";
import { violation } from "./protocol_error.ts";
import { encodeUtf8, isUtf8 } from "./utf8.ts";
import { NOTHING } from "../util/bytes.ts";

export const NORMAL = 1000;
export const GOING_AWAY = 1001;
export const PROTOCOL_ERROR = 1002;
export const NO_STATUS = 1005;
export const ABNORMAL = 1006;
export const INVALID_PAYLOAD = 1007;
export const TOO_BIG = 1009;
export const INTERNAL_ERROR = 1011;
export const TRY_AGAIN_LATER = 1013;

/**
 * The code and the reason of a close frame; 1005 and `""` if the frame is empty (RFC 6455 7.1.5).
 *
 * @see {@linkcode CloseRecord}
 */
export interface CloseFrame {
  /** The close code. */
  readonly code: number;
  /** The reason, at most 123 bytes of UTF-8. */
  readonly reason: string;
}

/** The longest reason, in bytes of UTF-8: two bytes of the payload are the code (RFC 6455 5.5.1). */
export const LONGEST_REASON: number = LONGEST_CONTROL - 2;

// RFC 6455 8.1 doesn't treat a byte order mark in any special way, so it is kept.
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true });

const NAMES: Record<number, string> = {
  1000: "normal closure",
  1001: "going away",
  1002: "protocol error",
  1003: "unsupported data",
  1007: "invalid payload data",
  1008: "policy violation",
  1009: "message too big",
  1010: "mandatory extension",
  1011: "internal error",
  1012: "service restart",
  1013: "try again later",
  1014: "bad gateway",
};

/**
 * Whether a code may be in a close frame (RFC 6455 7.4, and the IANA registry for 1012 to 1014). 1004 is reserved; 1005,
 * 1006 and 1015 are only for local use; 1016 to 2999 are unassigned.
 */
export function isCloseCode(code: number): boolean {
  return Number.isInteger(code) &&
    ((code >= 3000 && code <= 4999) ||
      (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)));
}

/** The registered name of a code, for people. */
export function closeCodeName(code: number): string {
  if (code >= 4000) return "private use";
  if (code >= 3000) return "registered";
  return NAMES[code] ?? "unknown";
}

/**
 * Makes a code and a reason legal, so that no caller can send an illegal close frame. A code that must not be sent
 * becomes 1011, and a reason that is too long is cut between two characters.
 */
export function legalCloseFrame(code: number, reason: string): CloseFrame {
  if (code === NO_STATUS) return { code, reason: "" };
  if (!isCloseCode(code)) code = INTERNAL_ERROR;
  // No code unit becomes more than three bytes.
  if (3 * reason.length <= LONGEST_REASON && reason.isWellFormed()) return { code, reason };
  const bytes = encodeUtf8(reason);
  let end = bytes.length;
  if (end > LONGEST_REASON) {
    end = LONGEST_REASON;
    while ((bytes[end] & 0xc0) === 0x80) end--;
  }
  return { code, reason: DECODER.decode(bytes.subarray(0, end)) };
}

/** Encodes the payload of a close frame: empty for 1005, else the code and the reason in UTF-8 (RFC 6455 5.5.1). */
export function encodeClosePayload(code: number, reason: string): Uint8Array {
  const frame = legalCloseFrame(code, reason);
  if (frame.code === NO_STATUS) return NOTHING;
  const text = frame.reason === "" ? NOTHING : encodeUtf8(frame.reason);
  const payload = new Uint8Array(2 + text.length);
  payload[0] = frame.code >> 8;
  payload[1] = frame.code & 0xff;
  payload.set(text, 2);
  return payload;
}

/** Decodes the payload of a received close frame; an empty one means code 1005 (RFC 6455 7.1.5). */
export function decodeClosePayload(payload: Uint8Array): CloseFrame {
  if (payload.length === 0) return { code: NO_STATUS, reason: "" };
  if (payload.length === 1) {
    throw violation(
      PROTOCOL_ERROR,
      "invalid-close-length",
      "Received a close frame with a payload of one byte",
    );
  }
  const code = (payload[0] << 8) | payload[1];
  if (!isCloseCode(code)) {
    throw violation(
      PROTOCOL_ERROR,
      "invalid-close-code",
      `Received close code ${code}, which must not be sent`,
    );
  }
  if (payload.length === 2) return { code, reason: "" };
  const reason = payload.subarray(2);
  if (!isUtf8(reason)) {
    throw violation(
      INVALID_PAYLOAD,
      "invalid-utf8",
      "Received a close reason that is not UTF-8",
    );
  }
  return { code, reason: DECODER.decode(reason) };
}

/**
 * Checks the arguments of `close`: the code, `null` for a frame without one, and the length of the reason.
 *
 * @throws {RangeError | TypeError} If a frame with them would be illegal.
 */
export function checkClose(code: number | null, reason: string): void {
  if (code !== null && !isCloseCode(code)) {
    throw new RangeError(
      `Cannot close with code ${code}: use 1000 to 1003, 1007 to 1014, 3000 to 4999, or null for none`,
    );
  }
  if (typeof reason !== "string") {
    throw new TypeError(
      `Cannot close with a reason that is not a string: received ${typeof reason}`,
    );
  }
  if (code === null && reason !== "") {
    throw new TypeError(
      "Cannot close with a reason and without a code: a close frame has both or none",
    );
  }
  // A UTF-16 code unit takes at most 3 bytes, so short reasons need no encoding to be measured.
  if (reason.length * 3 > LONGEST_REASON) {
    const bytes = encodeUtf8(reason).length;
    if (bytes > LONGEST_REASON) {
      throw new RangeError(
        `Cannot close with a reason of ${bytes} bytes: at most ${LONGEST_REASON} fit`,
      );
    }
  }
}
