import { BadHeadError } from "./bad_head_error.ts";
import { show } from "../util/show.ts";
import type { RequestHead } from "./request_head.ts";

/**
 * Returns the URL of a request (RFC 9112 3.3).
 *
 * @param head The request.
 * @param secure Whether it came through TLS.
 * @param local The authority to use if the request names none, as HTTP/1.0 allows.
 * @returns The URL, with `http:` or `https:`.
 * @throws {BadHeadError} With 400, if a mandatory `Host` is missing (3.2), or if host and target don't form a URL.
 */
export function requestUrl(head: RequestHead, secure: boolean, local: string): string {
  const { host, path } = head;
  if (head.version !== "1.0" && !head.fields.has("host")) {
    throw new BadHeadError(400, "The request has no Host");
  }
  // The target `*` means the server itself (RFC 9112 3.2.4), which a URL can't express; `Deno.serve` uses the same path.
  const rest = path === "*" ? "/*" : path;
  const url = `${secure ? "https" : "http"}://${host || local}${rest}`;
  if (!URL.canParse(url)) {
    throw new BadHeadError(400, `The Host and the target do not form a URL: ${show(url)}`);
  }
  return url;
}

/**
 * Makes a `Request` from a received head.
 *
 * @param head The head.
 * @param url The URL, as {@linkcode requestUrl} returns it.
 * @param init The body and the signal.
 * @returns The request.
 */
export function toStandardRequest(
  head: RequestHead,
  url: string,
  init: RequestInit & { duplex?: "half" } = {},
): Request {
  // An array of pairs, since copying `Headers` takes quadratic time.
  const headers = [...head.fields];
  const { method } = head;
  const isAbsolute = head.target.charCodeAt(0) !== 0x2f && head.target !== "*";
  if (isAbsolute) {
    // The authority of the target replaces the field, which must be ignored (RFC 9112 3.2.2).
    const at = headers.findIndex(([name]) => name.toLowerCase() === "host");
    if (at !== -1) headers[at] = ["Host", head.host ?? ""];
  }
  // `Request` refuses these methods, and changes the case of some others.
  const isForbidden = /^(?:connect|trace|track)$/i.test(method);
  const request = new Request(url, { ...init, method: isForbidden ? "OPTIONS" : method, headers });
  return request.method === method ? request : withMethod(request, method);
}

function withMethod(request: Request, method: string): Request {
  Object.defineProperties(request, {
    method: { value: method },
    clone: { value: () => withMethod(Request.prototype.clone.call(request), method) },
  });
  return request;
}
