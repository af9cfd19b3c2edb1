import { checkFieldName, checkFieldValue } from "./headers_option.ts";
import { Refusal } from "./refusal.ts";

/** The version in the request line of a head that was converted from HTTP/2. */
const VERSION = "HTTP/2.0";

/**
 * Converts the head of an HTTP/2 request to the form of HTTP/1.1, so that the same code checks and reads both.
 * `:authority` becomes `Host` (RFC 9113 8.3.1). An extended CONNECT for a WebSocket becomes a GET that upgrades
 * (RFC 8441 5), without a key, since HTTP/2 has none.
 *
 * @param fields Names and values alternate; pseudo-header fields are included.
 * @returns The head, with its closing empty line, one code unit per byte.
 * @throws {Refusal} If it is a CONNECT for anything else.
 * @throws {TypeError} If the name or the value of a field is invalid in a head.
 */
export function formatHttp2Head(fields: readonly string[]): string {
  const pseudo: Record<string, string> = {};
  let lines = "", cookie = "", host = "";
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const name = fields[at], value = fields[at + 1];
    if (name.charCodeAt(0) === 0x3a) pseudo[name] = value;
    else if (name === "host") host = value;
    // One field may be split into several (RFC 9113 8.2.3).
    else if (name === "cookie") cookie += cookie === "" ? value : `; ${value}`;
    else lines += line(name, value);
  }
  let { ":method": method = "", ":path": path = "" } = pseudo;
  const { ":authority": authority = host, ":protocol": protocol } = pseudo;
  if (method === "CONNECT") {
    if (protocol === undefined) throw new Refusal(405, "The request is a CONNECT to a server");
    if (protocol !== "websocket") {
      throw new Refusal(501, "The request is a CONNECT for another protocol than websocket");
    }
    method = "GET";
    lines += "upgrade: websocket\r\nconnection: Upgrade\r\n";
  }
  if (cookie !== "") lines += line("cookie", cookie);
  if (!/^[\x21-\x7e]+$/.test(path)) path = "";
  return `${checkFieldName(method)} ${path} ${VERSION}\r\n${line("host", authority)}${lines}\r\n`;
}

function line(name: string, value: string): string {
  return `${checkFieldName(name)}: ${checkFieldValue(name, value)}\r\n`;
}

/** Whether a head was written by {@linkcode formatHttp2Head}. */
export function isHttp2Head(text: string): boolean {
  return text.startsWith(VERSION, text.indexOf("\r\n") - VERSION.length);
}

/** The first part of a client's connection preface, which looks like a head (RFC 9113 3.4). */
export const PREFACE_HEAD = "PRI * HTTP/2.0\r\n\r\n";
