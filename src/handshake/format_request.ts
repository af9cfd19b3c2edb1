import type { IncomingMessage } from "node:http";
import { refusal } from "../util/check.ts";
import { checkFieldName, checkFieldValue } from "./headers_option.ts";

/**
 * Writes the head of a request that the caller has read, so that it passes the same checks as one that we have read.
 *
 * @param request A standard request, or one of `node:http`.
 * @returns The head, with its closing empty line, one code unit per byte.
 * @throws {TypeError} If it is neither, or has a header that a head can't contain.
 */
export function formatRequestHead(request: Request | IncomingMessage): string {
  if (request instanceof Request) {
    const { pathname, search, host } = new URL(request.url);
    const fields = [...request.headers];
    if (!request.headers.has("host")) fields.push(["host", host]);
    return format(request.method, pathname + search, fields);
  }
  const { method, rawHeaders } = request;
  // Express removes the path of a mounted router from `url`.
  const url = (request as { originalUrl?: string }).originalUrl ?? request.url;
  if (typeof method !== "string" || typeof url !== "string" || !Array.isArray(rawHeaders)) {
    throw refusal("adopt with request", request, "a Request, or one of node:http");
  }
  const fields: [string, string][] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    fields.push([rawHeaders[at], rawHeaders[at + 1]]);
  }
  return format(method, url, fields);
}

function format(method: string, target: string, fields: [string, string][]): string {
  if (!/^[\x21-\x7e]+$/.test(target)) {
    throw new TypeError(`Cannot adopt with a request for ${JSON.stringify(target)}: not a path`);
  }
  let text = `${checkFieldName(method)} ${target} HTTP/1.1\r\n`;
  for (const [name, value] of fields) {
    text += `${checkFieldName(name)}: ${checkFieldValue(name, value)}\r\n`;
  }
  return `${text}\r\n`;
}
