import { BadHeadError } from "./bad_head_error.ts";
import { FIELD_CHAR } from "./chars.ts";
import { show } from "../util/show.ts";
import { type Fields, MAX_FIELDS, parseFields } from "./fields.ts";

/** The head of a response: its status line and its fields. */
export class ResponseHead {
  /** The version: `"1.1"`, `"1.0"` or a later 1.x, or `"2"`. */
  readonly version: string;
  /** The status code, 100 to 599. */
  readonly status: number;
  /** The reason phrase; often `""`. */
  readonly reason: string;
  /** The header fields. */
  readonly fields: Fields;

  /**
   * Makes a head from its parts.
   *
   * @param version The version, such as `"1.1"`.
   * @param status The status code.
   * @param reason The reason phrase.
   * @param fields The header fields.
   */
  constructor(version: string, status: number, reason: string, fields: Fields) {
    this.version = version;
    this.status = status;
    this.reason = reason;
    this.fields = fields;
  }
}

/**
 * Reads the head of a response (RFC 9112 4). The space after the status code is mandatory even without a reason phrase,
 * but many servers leave it out, which is harmless. A fold in a field becomes a space, as a user agent must read it (5.2).
 *
 * @param text The head, closing empty line included, one code unit per byte.
 * @returns The head.
 * @throws {BadHeadError} If it isn't the head of an HTTP/1.x response.
 */
export function parseResponseHead(text: string): ResponseHead {
  const end = text.indexOf("\r\n");
  const line = text.substring(0, end === -1 ? text.length : end);
  const parts = /^HTTP\/1\.(\d) ([1-5]\d\d)(?: (.*))?$/s.exec(line);
  if (end === -1 || parts === null) {
    throw new BadHeadError(400, `The status line is malformed: ${show(line)}`);
  }
  const reason = parts[3] ?? "";
  for (let at = 0; at < reason.length; at++) {
    if (FIELD_CHAR[reason.charCodeAt(at)] !== 1) {
      throw new BadHeadError(400, `The status line is malformed: ${show(line)}`);
    }
  }
  const fields = parseFields(unfold(text, end + 2), end + 2, MAX_FIELDS);
  return new ResponseHead(`1.${parts[1]}`, Number(parts[2]), reason, fields);
}

/**
 * Replaces each fold of a field's value with a space (RFC 9112 5.2). A fold right after the status line (2.2) is kept, so
 * that it is refused.
 */
function unfold(text: string, at: number): string {
  if (!/\n[ \t]/.test(text)) return text;
  return text.substring(0, at) + text.substring(at).replace(/\r\n[ \t]+/g, " ");
}
