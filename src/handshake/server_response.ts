import { concat } from "../util/bytes.ts";
import { ACCEPT_KEY_LENGTH, writeAcceptKey } from "./accept_key.ts";
import { type Extension, formatExtensions } from "./extension_list.ts";
import { checkFieldName, checkFieldValue, type Field } from "./headers_option.ts";
import { writeLatin1 } from "./latin1.ts";
import { checkProtocol, listContains } from "./token_list.ts";
import { NOTHING } from "../util/bytes.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";

/** The response for a client that has sent `Expect: 100-continue` (RFC 9110 10.1.1). */
export const CONTINUE: Uint8Array = encodeUtf8("HTTP/1.1 100 Continue\r\n\r\n");

/** The part of a 101 before the value that depends on the key (RFC 6455 4.2.2, item 5). */
const ACCEPT_START: Uint8Array = encodeUtf8(
  "HTTP/1.1 101 Switching Protocols\r\n" +
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
);

/** The contents of a 101. */
export interface Acceptance {
  /** The client's key. */
  key: string;
  /** The subprotocol; `""` for none, which is the default. */
  protocol?: string;
  /** The agreed extensions. */
  extensions?: readonly Extension[];
  /** Further headers. */
  headers?: readonly Field[];
  /** Whether the client waits for a 100, which has to come before the 101 (RFC 9110 7.8). */
  expectsContinue?: boolean;
}

/**
 * Writes the 101 that completes a handshake. All contents are checked once more, so that no caller can avoid the check.
 *
 * @param acceptance The contents.
 * @returns The bytes of the response.
 * @throws {TypeError} If the subprotocol, an extension or a header can't be sent.
 */
export function formatAccept(acceptance: Acceptance): Uint8Array {
  const { key, protocol, extensions, headers, expectsContinue } = acceptance;
  let rest = "\r\n";
  if (protocol !== undefined && protocol !== "") {
    rest += `Sec-WebSocket-Protocol: ${checkProtocol(protocol)}\r\n`;
  }
  if (extensions !== undefined && extensions.length > 0) {
    rest += `Sec-WebSocket-Extensions: ${formatExtensions(extensions)}\r\n`;
  }
  if (headers !== undefined) rest += formatFields(headers);
  rest += "\r\n";
  const start = expectsContinue ? concat([CONTINUE, ACCEPT_START]) : ACCEPT_START;
  const bytes = new Uint8Array(start.length + ACCEPT_KEY_LENGTH + rest.length);
  bytes.set(start);
  writeLatin1(rest, bytes, writeAcceptKey(key, bytes, start.length));
  return bytes;
}

/**
 * Writes field lines.
 *
 * @param fields The headers.
 * @returns A line for each, its end included.
 * @throws {TypeError} If a name or a value can't be sent.
 */
export function formatFields(fields: readonly Field[]): string {
  let text = "";
  for (const [name, value] of fields) {
    text += `${checkFieldName(name)}: ${checkFieldValue(name, value)}\r\n`;
  }
  return text;
}

/** The reason phrases of RFC 9110 15, RFC 6585 and RFC 7725. */
export const REASONS: Record<number, string> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  203: "Non-Authoritative Information",
  204: "No Content",
  205: "Reset Content",
  206: "Partial Content",
  300: "Multiple Choices",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  411: "Length Required",
  412: "Precondition Failed",
  413: "Content Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  416: "Range Not Satisfiable",
  417: "Expectation Failed",
  421: "Misdirected Request",
  422: "Unprocessable Content",
  426: "Upgrade Required",
  428: "Precondition Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  451: "Unavailable For Legal Reasons",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
  511: "Network Authentication Required",
};

/**
 * Writes the response that refuses a handshake, with its body. The connection ends after it, so it has
 * `Connection: close`. The body's length is computed here; the headers can't set it.
 *
 * @param status The status, 200 to 599.
 * @param headers The headers.
 * @param body The body; a string is sent as UTF-8 and, unless the headers say otherwise, as plain text.
 * @param omitBody Whether the request was a HEAD. Its response has the fields for a body, but no body.
 * @returns The bytes of the response.
 * @throws {RangeError} If the status isn't that of a final response.
 * @throws {TypeError} If a header can't be sent.
 */
export function formatRefusal(
  status: number,
  headers: readonly Field[] = [],
  body: string | Uint8Array = "",
  omitBody = false,
): Uint8Array {
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new RangeError(`Cannot refuse a handshake with the status ${status}: not in 200 to 599`);
  }
  const isText = typeof body === "string";
  let content = isText ? encodeUtf8(body) : body;
  const bodiless = status === 204 || status === 304;
  if (bodiless) content = NOTHING;

  let connection = "close";
  let hasType = false;
  const kept: Field[] = [];
  for (const field of headers) {
    const lower = field[0].toLowerCase();
    if (lower === "content-length" || lower === "transfer-encoding") continue;
    if (lower === "connection") {
      if (listContains(field[1], "close")) connection = field[1];
      continue;
    }
    if (lower === "content-type") hasType = true;
    kept.push(field);
  }
  let text = `HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n` +
    formatFields(kept) + formatFields([["Connection", connection]]);
  if (isText && !hasType && content.length > 0) {
    text += "Content-Type: text/plain; charset=utf-8\r\n";
  }
  // A 204 must have none (RFC 9110 8.6).
  if (!bodiless) text += `Content-Length: ${content.length}\r\n`;
  text += "\r\n";
  if (omitBody) content = NOTHING;
  const bytes = new Uint8Array(text.length + content.length);
  bytes.set(content, writeLatin1(text, bytes, 0));
  return bytes;
}
