import { BadHeadError } from "./bad_head_error.ts";
import { TOKEN_CHAR } from "./chars.ts";
import { show } from "../util/show.ts";
import { type Fields, MAX_FIELDS, parseFields } from "./fields.ts";

const SP = 0x20;
const CR = 0x0d;
const LF = 0x0a;

/** `scheme://authority` and the rest; an authority with user info is refused (RFC 9110 4.2.4). */
const ABSOLUTE_FORM = /^(?:http|ws)s?:\/\/([^/?@]+)([/?].*)?$/i;

/** `uri-host [ ":" port ]` (RFC 9110 7.2), with the characters that RFC 3986 3.2.2 allows. */
const AUTHORITY = /^(?:\[[0-9A-Za-z:.%_~-]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]+)(?::\d{0,5})?$/;

/** The head of a request: its request line and its fields. */
export class RequestHead {
  /** The method, with its original case: methods are case-sensitive (RFC 9110 9.1). */
  readonly method: string;
  /** The request target as it arrived: `/path?query`, or an absolute URL. */
  readonly target: string;
  /** The version: `"1.1"`, `"1.0"` or a later 1.x; `"2"` for a head that was converted from HTTP/2. */
  readonly version: string;
  /** The header fields. */
  readonly fields: Fields;

  /**
   * Makes a head from its parts.
   *
   * @param method The method.
   * @param target The request target.
   * @param version The version, such as `"1.1"`.
   * @param fields The header fields.
   */
  constructor(method: string, target: string, version: string, fields: Fields) {
    this.method = method;
    this.target = target;
    this.version = version;
    this.fields = fields;
  }

  /** Path and query of the target, in either form. */
  get path(): string {
    if (this.target.charCodeAt(0) === 0x2f || this.target === "*") return this.target;
    const rest = ABSOLUTE_FORM.exec(this.target)?.[2] ?? "";
    return rest.charCodeAt(0) === 0x2f ? rest : `/${rest}`;
  }

  /**
   * The requested authority, or `null`. That of an absolute target replaces the `Host` field, which must then be ignored
   * (RFC 9112 3.2.2).
   */
  get host(): string | null {
    if (this.target.charCodeAt(0) !== 0x2f && this.target !== "*") {
      return ABSOLUTE_FORM.exec(this.target)?.[1] ?? null;
    }
    return this.fields.get("host");
  }
}

/**
 * Reads the head of a request (RFC 9112 3) strictly: one space between the parts of the request line, a target in
 * origin-form or absolute-form (`*` for OPTIONS), HTTP/1.x, at most one `Host`, and unambiguous framing. One empty line
 * before the request line is skipped (2.2).
 *
 * @param text The head, closing empty line included, one code unit per byte.
 * @param maxFields The most fields.
 * @param expected The major version that it must have; 2 for a head that was converted from HTTP/2.
 * @returns The head.
 * @throws {BadHeadError} With the status to answer with: 400, 431, 501 or 505.
 */
export function parseRequestHead(
  text: string,
  maxFields: number = MAX_FIELDS,
  expected: 1 | 2 = 1,
): RequestHead {
  const start = text.startsWith("\r\n") ? 2 : 0;
  let at = start;
  while (TOKEN_CHAR[text.charCodeAt(at)] === 1) at++;
  if (at === start || text.charCodeAt(at) !== SP) throw badRequestLine(text, start);
  const method = text.substring(start, at);

  const targetStart = ++at;
  let code = text.charCodeAt(at);
  // A target is visible ASCII (RFC 3986) without a fragment (RFC 9112 3.2).
  while (code > SP && code < 0x7f && code !== 0x23) code = text.charCodeAt(++at);
  if (at === targetStart || code !== SP) throw badRequestLine(text, start);
  const target = text.substring(targetStart, at);
  at++;

  if (!text.startsWith("HTTP/", at) || text.charCodeAt(at + 6) !== 0x2e) {
    throw badRequestLine(text, start);
  }
  const major = text.charCodeAt(at + 5) - 0x30;
  const minor = text.charCodeAt(at + 7) - 0x30;
  const isVersion = major >= 0 && major <= 9 && minor >= 0 && minor <= 9;
  if (!isVersion || text.charCodeAt(at + 8) !== CR || text.charCodeAt(at + 9) !== LF) {
    throw badRequestLine(text, start);
  }
  // The preface of HTTP/2, `PRI * HTTP/2.0`, is designed to fail here (RFC 9113 3.4).
  if (major !== expected) {
    throw new BadHeadError(505, `The request is of version HTTP/${major}.${minor}, not HTTP/1.1`);
  }
  const version = major === 2 ? "2" : minor === 1 ? "1.1" : `1.${minor}`;
  checkTarget(method, target);

  const fields = parseFields(text, at + 10, maxFields);
  checkHostField(fields);
  checkFraming(fields, version);
  return new RequestHead(method, target, version, fields);
}

function checkTarget(method: string, target: string): void {
  // The target of a CONNECT is an authority, and only for proxies (RFC 9112 3.2.3).
  if (method === "CONNECT") throw new BadHeadError(400, "The request is a CONNECT to a server");
  if (target.charCodeAt(0) === 0x2f) return;
  if (target === "*" && method === "OPTIONS") return;
  const authority = ABSOLUTE_FORM.exec(target)?.[1];
  if (authority === undefined || !AUTHORITY.test(authority)) {
    throw new BadHeadError(400, `The request target is neither a path nor a URL: ${show(target)}`);
  }
}

/** Refuses several `Host` fields, or one that isn't a host, with 400 (RFC 9112 3.2). */
function checkHostField(fields: Fields): void {
  const count = fields.count("host");
  if (count === 0) return;
  if (count > 1) throw new BadHeadError(400, "The request has more than one Host field");
  const host = fields.get("host")!;
  // An empty value is legal if the target has no authority.
  if (host !== "" && !AUTHORITY.test(host)) {
    throw new BadHeadError(400, `The request has a Host field that is not a host: ${show(host)}`);
  }
}

/**
 * Refuses framing about which parsers could disagree (RFC 9112 6.1, 6.3): otherwise one of them could be made to read a
 * body as the next request.
 */
function checkFraming(fields: Fields, version: string): void {
  const length = fields.get("content-length");
  if (length !== null && !/^\d{1,15}$/.test(length)) {
    throw new BadHeadError(400, `The request has the Content-Length ${show(length)}`);
  }
  const coding = fields.get("transfer-encoding");
  if (coding === null) return;
  if (length !== null) {
    throw new BadHeadError(400, "The request has both Content-Length and Transfer-Encoding");
  }
  if (version === "1.0") {
    throw new BadHeadError(400, "The request has Transfer-Encoding in HTTP/1.0");
  }
  if (coding.toLowerCase() !== "chunked") {
    throw new BadHeadError(501, `The request has the unknown Transfer-Encoding ${show(coding)}`);
  }
}

function badRequestLine(text: string, start: number): BadHeadError {
  const end = text.indexOf("\r\n", start);
  const line = text.substring(start, end === -1 ? text.length : end);
  return new BadHeadError(400, `The request line is malformed: ${show(line)}`);
}
