import { equalsIgnoreCase, isToken } from "./chars.ts";
import { show } from "../util/show.ts";

const HTAB = 0x09;
const SP = 0x20;

/**
 * Says whether a comma-separated list contains a member, case-insensitively: `Connection: keep-alive, Upgrade` contains
 * `upgrade`. Reads the list once and allocates nothing.
 *
 * @param list The field's value, or `null` if there is none.
 * @param lower The member, in lower case.
 * @returns Whether the list contains it.
 */
export function listContains(list: string | null, lower: string): boolean {
  if (list === null) return false;
  let start = 0;
  while (start <= list.length) {
    let end = list.indexOf(",", start);
    if (end === -1) end = list.length;
    const next = end + 1;
    while (start < end && isBlank(list.charCodeAt(start))) start++;
    while (end > start && isBlank(list.charCodeAt(end - 1))) end--;
    if (equalsIgnoreCase(list, start, end, lower)) return true;
    start = next;
  }
  return false;
}

/**
 * Reads a comma-separated list of tokens. Empty members are skipped (RFC 9110 5.6.1.2).
 *
 * @param list The field's value.
 * @returns The tokens, in order, with their original case.
 * @throws {SyntaxError} If a member isn't a token.
 */
function parseTokenList(list: string): string[] {
  const tokens: string[] = [];
  let start = 0;
  while (start <= list.length) {
    let end = list.indexOf(",", start);
    if (end === -1) end = list.length;
    const next = end + 1;
    while (start < end && isBlank(list.charCodeAt(start))) start++;
    while (end > start && isBlank(list.charCodeAt(end - 1))) end--;
    if (end > start) {
      const token = list.substring(start, end);
      if (!isToken(token)) {
        throw new SyntaxError(`The list has a member that is not a token: ${show(token)}`);
      }
      tokens.push(token);
    }
    start = next;
  }
  return tokens;
}

/**
 * Reads the subprotocols that a client offers, in its order of preference (RFC 6455 4.1, item 10: tokens, each once).
 *
 * @param list The value of `Sec-WebSocket-Protocol`.
 * @returns The subprotocols.
 * @throws {SyntaxError} If one isn't a token or is offered twice.
 */
export function parseProtocols(list: string): string[] {
  const protocols = parseTokenList(list);
  if (protocols.length > 1 && new Set(protocols).size !== protocols.length) {
    throw new SyntaxError(`The list names a subprotocol twice: ${show(list)}`);
  }
  return protocols;
}

/**
 * Checks the option `protocols`, of a client or a server.
 *
 * @param protocols One subprotocol or several.
 * @returns A new array of them.
 * @throws {TypeError} If one isn't a token or comes twice.
 */
export function checkProtocols(protocols: string | Iterable<string> | undefined): string[] {
  if (protocols === undefined) return [];
  const isIterable = typeof protocols === "string" ||
    (typeof protocols === "object" && protocols !== null && Symbol.iterator in protocols);
  if (!isIterable) {
    throw new TypeError(
      `Cannot use ${show(protocols)} as protocols: use a subprotocol or a list of them`,
    );
  }
  const list = typeof protocols === "string" ? [protocols] : [...protocols];
  for (const [at, protocol] of list.entries()) {
    checkProtocol(protocol);
    if (list.indexOf(protocol) !== at) {
      throw new TypeError(`Cannot use the subprotocol ${show(protocol)} twice`);
    }
  }
  return list;
}

/**
 * Checks one subprotocol.
 *
 * @param protocol Its name.
 * @returns The same name.
 * @throws {TypeError} If it isn't a token.
 */
export function checkProtocol(protocol: string): string {
  if (typeof protocol !== "string" || !isToken(protocol)) {
    throw new TypeError(`Cannot use ${show(protocol)} as a subprotocol: it must be a token`);
  }
  return protocol;
}

/** Whether a character is optional white space (RFC 9110 5.6.3). */
function isBlank(code: number): boolean {
  return code === SP || code === HTAB;
}
