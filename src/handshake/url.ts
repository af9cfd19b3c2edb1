import { show } from "../util/show.ts";

/** The parts of a WebSocket URL. */
export interface Target {
  /** Whether it is `wss:`. */
  secure: boolean;
  /** The host to connect to: a name, an IPv4 address, or an IPv6 address without brackets. */
  hostname: string;
  /** The port to connect to. */
  port: number;
  /** The value of the `Host` field: with brackets around IPv6, and the port unless it is the scheme's default. */
  hostHeader: string;
  /** Path and query, as in the request line. */
  path: string;
  /** The whole URL, with `ws:` or `wss:`. */
  href: string;
}

/**
 * Replaces the scheme of a URL, or a scheme alone: `http:` by `ws:`, and `https:` by `wss:`. Others stay.
 *
 * @param url The URL, with its scheme in lower case.
 * @returns The URL with the new scheme.
 */
export function withWebSocketScheme(url: string): string {
  return url.replace(/^http(?=s?:)/, "ws");
}

/**
 * Reads the URL of a server (RFC 6455 3) by the rules of the WHATWG: `http:` and `https:` mean `ws:` and `wss:`.
 *
 * @param url The argument of `connect`.
 * @returns The parts of the URL.
 * @throws {TypeError} If it isn't a URL of these schemes, or has a fragment, user info or port 0.
 */
export function parseUrl(url: string | URL): Target {
  if (typeof url !== "string" && !(url instanceof URL)) {
    throw new TypeError(`Cannot connect to ${show(url)}: use a string or a URL`);
  }
  const given = String(url);
  let parsed: URL;
  try {
    parsed = new URL(given);
  } catch {
    throw refuse(given, "not a valid URL");
  }
  // The schemes of a pair have the same default port, which the parser has removed already.
  const scheme = parsed.protocol = withWebSocketScheme(parsed.protocol);
  if (scheme !== "ws:" && scheme !== "wss:") throw refuse(given, "the scheme must be ws: or wss:");
  // An empty fragment leaves `hash` empty, but the `#` is still in the URL; elsewhere the parser has escaped it.
  if (parsed.href.includes("#")) throw refuse(given, "a WebSocket URL has no fragment");
  if (parsed.username !== "" || parsed.password !== "") {
    throw refuse(
      given,
      "user info in the URL is not sent, use the option headers with an Authorization header",
    );
  }
  if (parsed.port === "0") throw refuse(given, "port 0 cannot be connected to");
  const secure = scheme === "wss:";
  const { host, hostname, pathname, search } = parsed;
  return {
    secure,
    hostname: hostname.startsWith("[") ? hostname.slice(1, -1) : hostname,
    port: parsed.port === "" ? (secure ? 443 : 80) : Number(parsed.port),
    hostHeader: host,
    path: pathname + search,
    href: parsed.href,
  };
}

/** Makes the error. Messages may be logged, so user info is removed from the URL, even from one that can't be parsed. */
function refuse(given: string, why: string): TypeError {
  const shown = given.replace(/^(\s*[a-z+.-]*:)?[/\\]*[^/\\?#]*@/i, "$1//…@");
  return new TypeError(`Cannot connect to ${show(shown)}: ${why}`);
}
