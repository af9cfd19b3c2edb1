import { isInBlock, parseAddress } from "../../util/ip_address.ts";
import { parseProxyUrl, type Proxy } from "./proxy_url.ts";

/** Reads an environment variable; `undefined` if it isn't set or may not be read. */
export type ReadVariable = (name: string) => string | undefined;

/**
 * Reads a variable only if that is permitted already: otherwise the runtime would ask the user, or fail although no proxy
 * is needed.
 *
 * @param name The variable.
 * @returns Its value.
 */
export function readPermittedVariable(name: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name) : undefined;
}

/**
 * Finds the proxy for a connection in the environment: `https_proxy` for `wss:`, `http_proxy` for `ws:`, `all_proxy` for
 * both, unless `no_proxy` lists the host. Names in lower case take precedence, as in curl; an empty variable means no
 * proxy. A proxy without a scheme means `http://`.
 *
 * In a CGI program `HTTP_PROXY` in capitals isn't read: there it comes from a header of the client's request.
 *
 * @param secure Whether the connection is `wss:`.
 * @param hostname The target's host, IPv6 without brackets.
 * @param port The target's port.
 * @param read Reads a variable.
 * @returns The proxy, or `undefined` for none.
 * @throws {TypeError} If the variable isn't the URL of a proxy.
 */
export function proxyFromEnvironment(
  secure: boolean,
  hostname: string,
  port: number,
  read: ReadVariable = readPermittedVariable,
): Proxy | undefined {
  const name = secure ? "https_proxy" : "http_proxy";
  let value = read(name);
  if (value === undefined && (secure || read("REQUEST_METHOD") === undefined)) {
    value = read(name.toUpperCase());
  }
  value ??= read("all_proxy") ?? read("ALL_PROXY");
  if (value === undefined || value.trim() === "") return undefined;
  const exceptions = read("no_proxy") ?? read("NO_PROXY");
  if (exceptions !== undefined && isExcepted(exceptions, hostname, port)) return undefined;
  const url = value.trim();
  return parseProxyUrl(/^[a-z][a-z0-9+.-]*:\/\//i.test(url) ? url : `http://${url}`);
}

/**
 * Says whether `no_proxy` lists a host.
 *
 * @param list Entries, separated by commas or white space: `*` for every host; a domain, with or without a leading dot or
 * `*.`, for itself and its subdomains; an address; a block of addresses such as `10.0.0.0/8`. A domain or an address may
 * end with `:port`. IPv6 with a port must be in brackets, and without one may be.
 * @param hostname The host, IPv6 without brackets.
 * @param port The port.
 * @returns Whether to connect directly.
 */
function isExcepted(list: string, hostname: string, port: number): boolean {
  const host = hostname.toLowerCase().replace(/\.$/, "");
  const address = parseAddress(host);
  return list.toLowerCase().split(/[\s,]+/).some((entry) => {
    if (entry === "") return false;
    if (entry === "*") return true;
    const parts = splitEntry(entry);
    if (parts.port !== undefined && parts.port !== port) return false;
    if (address !== undefined) return coversAddress(parts.host, address);
    const domain = parts.host.replace(/^\*?\./, "").replace(/\.$/, "");
    return domain !== "" && (host === domain || host.endsWith(`.${domain}`));
  });
}

function splitEntry(entry: string): { host: string; port: number | undefined } {
  const bracketed = /^\[([^\]]*)\](?::(\d+))?(\/\d+)?$/.exec(entry);
  if (bracketed !== null) {
    const [, host, port, bits = ""] = bracketed;
    return { host: host + bits, port: port === undefined ? undefined : Number(port) };
  }
  // Several colons mean an IPv6 address, which has no port without brackets.
  const plain = /^([^:]*):(\d+)$/.exec(entry);
  if (plain !== null) return { host: plain[1], port: Number(plain[2]) };
  return { host: entry, port: undefined };
}

function coversAddress(entry: string, address: Uint8Array): boolean {
  const slash = entry.indexOf("/");
  const network = parseAddress(slash === -1 ? entry : entry.slice(0, slash));
  if (network === undefined) return false;
  const bits = slash === -1 ? network.length * 8 : Number(entry.slice(slash + 1));
  const isCount = slash === -1 || /^\d{1,3}$/.test(entry.slice(slash + 1));
  return isCount && bits <= network.length * 8 && isInBlock(address, network, bits);
}
