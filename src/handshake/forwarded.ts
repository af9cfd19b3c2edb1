import { parseAddress } from "../util/ip_address.ts";
import type { Fields } from "./fields.ts";

/** The origin of a request, as far as trusted proxies say. */
export interface ForwardedPeer {
  readonly hostname: string;
  /** 0 if it isn't known. */
  readonly port: number;
}

/**
 * Finds the client of a request that came through proxies. Each proxy appends the address that it got the request from to
 * a list, so the list is read from the right as long as the hop is trusted. Everything to the left of the first untrusted
 * address comes from that address, and may be invented.
 *
 * @param fields The request's fields.
 * @param header The header that the proxies set. The other one is never read, since they pass it through.
 * @param peer The address that the connection comes from.
 * @param trusted Says whether an address is a trusted proxy.
 * @returns The first address that isn't trusted, or the last one that could be read.
 */
export function forwardedPeer(
  fields: Fields,
  header: "x-forwarded-for" | "forwarded",
  peer: ForwardedPeer,
  trusted: (hostname: string) => boolean,
): ForwardedPeer {
  if (!trusted(peer.hostname)) return peer;
  const value = fields.get(header);
  if (value === null) return peer;
  const hops = header === "forwarded" ? forwardedHops(value) : value.split(",");
  let client = peer;
  for (let at = hops.length - 1; at >= 0; at--) {
    const hop = readNode(hops[at]);
    // An obfuscated, unknown or malformed hop can't be trusted, so the hops to the left of it can't be followed.
    if (hop === null) break;
    client = hop;
    if (!trusted(hop.hostname)) break;
  }
  return client;
}

/** The values of `for` in a `Forwarded` header, `""` for an element without it (RFC 7239 4). */
function forwardedHops(value: string): string[] {
  const hops: string[] = [];
  let element = "", quoted = false;
  for (let i = 0; i <= value.length; i++) {
    const char = value[i];
    if (char === undefined || (char === "," && !quoted)) {
      hops.push(nodeOf(element));
      element = "";
      continue;
    }
    if (char === '"') quoted = !quoted;
    element += char;
    // A quoted pair may contain a quote.
    if (char === "\\" && quoted && i + 1 < value.length) element += value[++i];
  }
  return hops;
}

/** The value of the parameter `for` of one element. */
function nodeOf(element: string): string {
  const found = /(?:^|;)[ \t]*for=(?:"((?:[^"\\]|\\.)*)"|([^";, \t]*))[ \t]*(?=;|$)/i.exec(element);
  if (found === null) return "";
  return found[1] === undefined ? found[2] : found[1].replace(/\\(.)/g, "$1");
}

/** Reads an address with or without a port; IPv6 with a port, or in `Forwarded`, is in brackets (RFC 7239 6). */
function readNode(text: string): ForwardedPeer | null {
  const node = text.trim();
  const bracketed = /^\[([^\]]*)\](?::(\w+))?$/.exec(node);
  const [, hostname, port] = bracketed ?? /^([^:]*)(?::(\w+))?$/.exec(node) ??
    [null, node, undefined];
  if (parseAddress(hostname) === undefined || hostname.includes("%")) return null;
  if (bracketed !== null && !hostname.includes(":")) return null;
  // An obfuscated port begins with an underscore; the address is valid nevertheless.
  const number = port === undefined || !/^\d{1,5}$/.test(port) ? 0 : Number(port);
  return { hostname, port: number > 65535 ? 0 : number };
}
