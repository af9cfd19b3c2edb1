import { checkFieldName, checkFieldValue, type Field } from "./headers_option.ts";

/** Connection-specific fields, which must not be sent over HTTP/2 (RFC 9113 8.2.2). */
const OF_CONNECTION = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/**
 * Converts the fields of a message to the form for `node:http2`: an object with names in lower case.
 *
 * @param pseudo The pseudo-header fields.
 * @throws {TypeError} If a name or a value can't be sent.
 */
export function http2Fields(
  pseudo: Record<string, string | number>,
  fields: readonly Field[],
): Record<string, string | number | string[]> {
  const headers: Record<string, string | number | string[]> = { ...pseudo };
  for (const [name, value] of fields) {
    const lower = checkFieldName(name).toLowerCase();
    if (OF_CONNECTION.has(lower)) continue;
    checkFieldValue(name, value);
    const before = headers[lower];
    if (before === undefined) headers[lower] = value;
    else if (lower === "set-cookie") headers[lower] = [before as string, value].flat();
    // `node:http2` accepts most fields only once, so repeated fields are joined to a list (RFC 9110 5.3).
    else headers[lower] = `${before}, ${value}`;
  }
  return headers;
}
