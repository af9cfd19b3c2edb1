import { FIELD_CHAR, isToken } from "./chars.ts";
import { show } from "../util/show.ts";

/** One header field that we send: its name and its value. */
export type Field = readonly [name: string, value: string];

/**
 * Headers in an option. A list as a value becomes several fields, as `Set-Cookie` needs.
 *
 * @see {@linkcode Context.prototype.connect}
 */
export type HeadersOption =
  | Headers
  | Iterable<readonly [name: string, value: string]>
  | Record<string, string | readonly string[]>;

/** The role whose handshake the headers are for. */
export type HandshakeRole = "client" | "server";

const HANDSHAKE_ITSELF = "the handshake sets it itself";

/** The names that the handshake sends itself, with hints for each: the option to use instead. */
const OWNED: Record<string, Record<HandshakeRole, string>> = {
  "connection": { client: HANDSHAKE_ITSELF, server: HANDSHAKE_ITSELF },
  "upgrade": { client: HANDSHAKE_ITSELF, server: HANDSHAKE_ITSELF },
  "host": { client: "it comes from the url", server: "a response has none" },
  "sec-websocket-key": { client: HANDSHAKE_ITSELF, server: "a response has none" },
  "sec-websocket-version": { client: HANDSHAKE_ITSELF, server: HANDSHAKE_ITSELF },
  "sec-websocket-accept": { client: "a request has none", server: HANDSHAKE_ITSELF },
  "sec-websocket-protocol": {
    client: "use the option protocols",
    server: "use the option protocols or selectProtocol, or protocol in the answer of onHandshake",
  },
  "sec-websocket-extensions": {
    client: "use the option extensions, or compression",
    server: "use the option compression, or extensions in the answer of onHandshake",
  },
  "content-length": { client: "a handshake has no body", server: "a handshake has no body" },
  "transfer-encoding": { client: "a handshake has no body", server: "a handshake has no body" },
};

/** Whether the handshake sends a header itself, so that an application can't set it. */
export function isHandshakeField(name: string): boolean {
  return Object.hasOwn(OWNED, name.toLowerCase());
}

/**
 * Checks the name of a header that is about to be sent.
 *
 * @param name The name.
 * @returns The same name.
 * @throws {TypeError} If it isn't a token.
 */
export function checkFieldName(name: string): string {
  if (typeof name !== "string" || !isToken(name)) {
    throw new TypeError(`Cannot send a header named ${show(name)}: the name must be a token`);
  }
  return name;
}

/**
 * Checks the value of a header that is about to be sent. CR, LF or NUL in it could end the line, and the rest would be
 * read as further headers. A character above U+00FF has no byte, and its low byte could be one of these.
 *
 * @param name The header's name, for the message.
 * @param value The value.
 * @returns The same value.
 * @throws {TypeError} If it has a control character other than HTAB, or a character above U+00FF.
 */
export function checkFieldValue(name: string, value: string): string {
  if (typeof value !== "string") {
    throw new TypeError(
      `Cannot send the header ${show(name)} with ${show(value)}: not a string, use one or a list`,
    );
  }
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if (code <= 0xff && FIELD_CHAR[code] === 1) continue;
    const point = `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
    throw new TypeError(
      `Cannot send the header ${show(name)} with the value ${
        show(value)
      }: ${point} may not be in it`,
    );
  }
  return value;
}

/**
 * Checks the headers of an application and converts them to a list of fields.
 *
 * @param headers The option as given.
 * @param role The role whose handshake they are for, which may not set the handshake's own headers; `null` allows all.
 * @returns The fields, in order, without white space around values.
 * @throws {TypeError} If a name or a value can't be sent, or if the handshake sends the header itself.
 */
export function checkHeaders(
  headers: HeadersOption | undefined,
  role: HandshakeRole | null,
): Field[] {
  if (headers === undefined) return [];
  if (typeof headers !== "object" || headers === null) {
    throw new TypeError(`Cannot use ${show(headers)} as headers: use an object, Headers or pairs`);
  }
  const fields: Field[] = [];
  if (Symbol.iterator in headers) {
    for (const pair of headers) {
      if (!Array.isArray(pair) || pair.length !== 2) {
        throw new TypeError(`Cannot use ${show(pair)} in a list of headers: use pairs of strings`);
      }
      addField(fields, pair[0], pair[1], role);
    }
    return fields;
  }
  for (const [name, value] of Object.entries(headers)) {
    if (Array.isArray(value)) {
      for (const each of value) addField(fields, name, each, role);
    } else {
      addField(fields, name, value as string, role);
    }
  }
  return fields;
}

function addField(fields: Field[], name: string, value: string, role: HandshakeRole | null): void {
  checkFieldName(name);
  checkFieldValue(name, value);
  const lower = name.toLowerCase();
  if (role !== null && Object.hasOwn(OWNED, lower)) {
    throw new TypeError(`Cannot set the header ${show(name)}: ${OWNED[lower][role]}`);
  }
  // Not trim(), which also takes U+00A0 and U+0085; white space here is SP and HTAB (RFC 9110 5.5).
  let start = 0;
  let end = value.length;
  while (start < end && (value[start] === " " || value[start] === "\t")) start++;
  while (end > start && (value[end - 1] === " " || value[end - 1] === "\t")) end--;
  fields.push([name, value.substring(start, end)]);
}
