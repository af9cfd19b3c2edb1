import { show } from "../../util/show.ts";
import { encodeUtf8 } from "../../protocol/utf8.ts";

/** The parts of a proxy's URL. */
export interface Proxy {
  /** The protocol of the proxy. */
  kind: "http" | "https" | "socks5";
  /** The host: a name or an address, IPv6 without brackets. */
  hostname: string;
  /** The port. */
  port: number;
  /** The user; `undefined` for no credentials. */
  username: string | undefined;
  /** The password; `""` if only a user was given. */
  password: string;
}

const DEFAULT_PORT = { http: 80, https: 443, socks5: 1080 } as const;

/**
 * Reads the URL of a proxy: `http://`, `https://` (TLS to the proxy) or `socks5://`, with percent-encoded user and password
 * before the host. `socks5h://` is the same as `socks5://`: the proxy resolves names.
 *
 * @param value The URL.
 * @returns The proxy.
 * @throws {TypeError} If it isn't the URL of a proxy; the message doesn't contain the password.
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
    // The first colon ends the user (RFC 7617 2).
    if (username.includes(":")) {
      throw fail("the user has a colon, which basic authentication can't carry");
    }
    return;
  }
  if (username === "" && password === "") return;
  for (const [name, text] of [["user", username], ["password", password]]) {
    const { length } = encodeUtf8(text);
    // The length is a byte, and at least 1 (RFC 1929 2).
    if (length < 1 || length > 255) throw fail(`the ${name} must have 1 to 255 bytes in SOCKS5`);
  }
}

/**
 * Removes user and password from a text that may be the URL of a proxy, so that it can be shown.
 *
 * @param given The text.
 * @returns The text without the part before the last `@` of the authority.
 */
function redact(given: string): string {
  return given.replace(/^([a-z][a-z0-9+.-]*:[/\\]*)?[^/\\?#]*@/i, "$1…@");
}
