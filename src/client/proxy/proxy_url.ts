import { show } from "../../util/show.ts";

/** A proxy, as its URL names it. */
export interface Proxy {
  /** What it speaks. */
  kind: "http" | "https" | "socks5";
  /** Its host: a name or an address, IPv6 without brackets. */
  hostname: string;
  /** Its port. */
  port: number;
  /** The credentials; `undefined` for none. */
  username: string | undefined;
  /** The password that goes with it; `""` if only a user was given. */
  password: string;
}

const DEFAULT_PORT = { http: 80, https: 443, socks5: 1080 } as const;

/**
 * Reads the URL of a proxy: `http://`, `https://` (TLS to the proxy) or `socks5://`, with user and password
 * percent-encoded in front of the host. `socks5h://` is the same as `socks5://`: names are resolved by the proxy.
 *
 * @param value The URL.
 * @returns The proxy.
 * @throws {TypeError} If it isn't one; the message leaves the password out.
 */
export function parseProxyUrl(value: string | URL): Proxy {
  if (typeof value !== "string" && !(value instanceof URL)) {
    throw new TypeError(`Cannot use ${show(value)} as the proxy: use the URL of one`);
  }
  const given = String(value);
  const fail = (why: string) => new TypeError(`Cannot use the proxy ${redact(given)}: ${why}`);
  let url: URL;
  try {
    url = new URL(given);
  } catch {
    throw fail("not a valid URL, use one such as http://host:port");
  }
  const scheme = url.protocol === "socks5h:" ? "socks5:" : url.protocol;
  if (scheme !== "http:" && scheme !== "https:" && scheme !== "socks5:") {
    throw fail("the scheme must be http:, https: or socks5:");
  }
  const kind = scheme.slice(0, -1) as Proxy["kind"];
  if (url.hostname === "") throw fail("it has no host");
  if ((url.pathname !== "" && url.pathname !== "/") || url.search !== "" || url.hash !== "") {
    throw fail("a proxy has no path, query or fragment");
  }
  if (url.port === "0") throw fail("port 0 cannot be connected to");
  const hostname = url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname;
  if (!/^[\w.:-]+$/.test(hostname)) throw fail("its host isn't a host name");
  let username: string;
  let password: string;
  try {
    username = decodeURIComponent(url.username);
    password = decodeURIComponent(url.password);
  } catch {
    throw fail("user or password isn't valid percent-encoding");
  }
  checkCredentials(kind, username, password, fail);
  return {
    kind,
    hostname,
    port: url.port === "" ? DEFAULT_PORT[kind] : Number(url.port),
    username: username === "" && password === "" ? undefined : username,
    password,
  };
}

function checkCredentials(
  kind: Proxy["kind"],
  username: string,
  password: string,
  fail: (why: string) => TypeError,
): void {
  // deno-lint-ignore no-control-regex -- RFC 7617 2: none may be in either.
  const control = /[\x00-\x1f\x7f]/;
  if (control.test(username) || control.test(password)) {
    throw fail("user or password has a control character");
  }
  if (kind !== "socks5") {
    // RFC 7617 2: the first colon ends the user.
    if (username.includes(":")) {
      throw fail("the user has a colon, which basic authentication can't carry");
    }
    return;
  }
  if (username === "" && password === "") return;
  const encoder = new TextEncoder();
  for (const [name, text] of [["user", username], ["password", password]]) {
    const { length } = encoder.encode(text);
    // RFC 1929 2: a length byte, at least 1.
    if (length < 1 || length > 255) throw fail(`the ${name} must have 1 to 255 bytes in SOCKS5`);
  }
}

/**
 * Leaves user and password out of what may be the URL of a proxy, so that it can be shown.
 *
 * @param given The URL, or what was meant to be one.
 * @returns It without what comes before the last `@` of its authority.
 */
function redact(given: string): string {
  return given.replace(/^([a-z][a-z0-9+.-]*:[/\\]*)?[^/\\?#]*@/i, "$1…@");
}
