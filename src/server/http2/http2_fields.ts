import type { OutgoingHttpHeaders } from "node:http2";
import { checkFieldName, checkFieldValue, type Field } from "../../handshake/headers_option.ts";

/** What belongs to a connection of HTTP/1.1, and must not be sent over HTTP/2 (RFC 9113 8.2.2). */
const OF_CONNECTION = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** The fields of an answer, as `node:http2` takes them. */
export function outgoingFields(status: number, fields: readonly Field[]): OutgoingHttpHeaders {
  const headers: Record<string, string | number | string[]> = { ":status": status };
  for (const [name, value] of fields) {
    const lower = checkFieldName(name).toLowerCase();
    if (OF_CONNECTION.has(lower)) continue;
    checkFieldValue(name, value);
    const before = headers[lower];
    if (before === undefined) headers[lower] = value;
    else if (lower === "set-cookie") headers[lower] = [before as string, value].flat();
    // `node:http2` takes most fields once, and a list is one (RFC 9110 5.3).
    else headers[lower] = `${before}, ${value}`;
  }
  return headers;
}
