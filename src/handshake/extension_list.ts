import { isToken, TOKEN_CHAR } from "./chars.ts";
import { show } from "../util/show.ts";

const HTAB = 0x09;
const SP = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const BACKSLASH = 0x5c;

/**
 * One parameter of an extension: its name, and its value or `true` if it has none.
 *
 * @see {@linkcode Extension}
 */
export type ExtensionParam = [name: string, value: string | true];

/**
 * An extension as offered or agreed: its name, and its parameters in order, repeated ones included.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context({ allowRsv: { rsv2: true } });
 * const listener = ctx.listen({
 *   hostname: "127.0.0.1",
 *   onHandshake: ({ headers }) =>
 *     headers.get("sec-websocket-extensions") === "x-rot13"
 *       ? { extensions: [{ name: "x-rot13", params: [["twice", true]] }] }
 *       : true,
 * });
 * const conn = ctx.connect(listener.url, { extensions: ["x-rot13"] });
 * await conn.opened;
 * console.log(conn.extensions); // "x-rot13; twice"
 * ```
 */
export interface Extension {
  /** The registered name, such as `permessage-deflate`. */
  name: string;
  /** The parameters, in order. A repeated name is kept: the extension has to refuse it. */
  params: ExtensionParam[];
}

/**
 * Reads `Sec-WebSocket-Extensions` (RFC 6455 9.1), in linear time for any list.
 *
 *     extension-list  = 1#extension
 *     extension       = extension-token *( ";" extension-param )
 *     extension-param = token [ "=" (token | quoted-string) ]
 *
 * White space is allowed around every separator, since the grammar is that of RFC 2616. Empty members are skipped.
 *
 * @param list The field's value; the values of several fields are joined by commas.
 * @returns The extensions, in order.
 * @throws {SyntaxError} If it isn't such a list, or if a quoted value isn't a token once unquoted.
 */
export function parseExtensions(list: string): Extension[] {
  const extensions: Extension[] = [];
  let at = skipBlanks(list, 0);
  while (at < list.length) {
    if (list.charCodeAt(at) === COMMA) {
      at = skipBlanks(list, at + 1);
      continue;
    }
    let end = tokenEnd(list, at);
    const params: ExtensionParam[] = [];
    extensions.push({ name: list.substring(at, end), params });
    at = skipBlanks(list, end);
    while (list.charCodeAt(at) === SEMICOLON) {
      at = skipBlanks(list, at + 1);
      end = tokenEnd(list, at);
      const name = list.substring(at, end);
      at = skipBlanks(list, end);
      let value: string | true = true;
      if (list.charCodeAt(at) === EQUALS) {
        at = skipBlanks(list, at + 1);
        const isQuoted = list.charCodeAt(at) === QUOTE;
        end = isQuoted ? quotedEnd(list, at) : tokenEnd(list, at);
        value = isQuoted ? unquote(list, at, end) : list.substring(at, end);
        at = skipBlanks(list, end);
      }
      params.push([name, value]);
    }
    if (at < list.length && list.charCodeAt(at) !== COMMA) throw malformed(list, at);
  }
  return extensions;
}

/**
 * Writes a list of extensions, as a header field's value.
 *
 * @param extensions The extensions.
 * @returns The value; `""` for an empty list.
 * @throws {TypeError} If a name or a value isn't a token.
 */
export function formatExtensions(extensions: readonly Extension[]): string {
  let text = "";
  for (const { name, params } of extensions) {
    if (text !== "") text += ", ";
    text += checkPart(name, "an extension's name");
    for (const [param, value] of params) {
      text += `; ${checkPart(param, "an extension parameter's name")}`;
      if (value !== true) text += `=${checkPart(value, "an extension parameter's value")}`;
    }
  }
  return text;
}

/**
 * Checks the option `extensions`. Each member is an object, or a string as in the header.
 *
 * @param extensions The option.
 * @returns Copies of the extensions.
 * @throws {TypeError} If a member is malformed.
 */
export function checkExtensions(
  extensions: Iterable<string | Extension> | undefined,
): Extension[] {
  const checked: Extension[] = [];
  if (extensions === undefined) return checked;
  if (typeof extensions !== "object" || extensions === null || !(Symbol.iterator in extensions)) {
    throw new TypeError(`Cannot use ${show(extensions)} as extensions: use a list of them`);
  }
  for (const extension of extensions) {
    if (typeof extension === "string") {
      try {
        checked.push(...parseExtensions(extension));
      } catch (cause) {
        throw new TypeError(`Cannot use ${show(extension)} as an extension: it is malformed`, {
          cause,
        });
      }
    } else if (typeof extension !== "object" || extension === null) {
      throw new TypeError(`Cannot use ${show(extension)} as an extension: use { name, params }`);
    } else {
      const params = (extension.params ?? []).map(([name, value]): ExtensionParam => [name, value]);
      checked.push({ name: extension.name, params });
    }
  }
  formatExtensions(checked);
  return checked;
}

function checkPart(text: string, what: string): string {
  if (typeof text !== "string" || !isToken(text)) {
    throw new TypeError(`Cannot use ${show(text)} as ${what}: it must be a token`);
  }
  return text;
}

function skipBlanks(list: string, at: number): number {
  let code = list.charCodeAt(at);
  while (code === SP || code === HTAB) code = list.charCodeAt(++at);
  return at;
}

function tokenEnd(list: string, start: number): number {
  let at = start;
  while (TOKEN_CHAR[list.charCodeAt(at)] === 1) at++;
  if (at === start) throw malformed(list, at);
  return at;
}

/** The index after the closing quote. */
function quotedEnd(list: string, start: number): number {
  for (let at = start + 1; at < list.length; at++) {
    const code = list.charCodeAt(at);
    if (code === QUOTE) return at + 1;
    if (code === BACKSLASH) at++;
  }
  throw malformed(list, start);
}

/** RFC 6455 9.1: "the value after quoted-string unescaping MUST conform to the 'token' ABNF". */
function unquote(list: string, start: number, end: number): string {
  const value = list.substring(start + 1, end - 1).replace(/\\(.)/gs, "$1");
  if (!isToken(value)) throw malformed(list, start);
  return value;
}

function malformed(list: string, at: number): SyntaxError {
  return new SyntaxError(`The extension list is malformed at character ${at}: ${show(list)}`);
}
