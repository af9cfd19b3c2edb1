import type { Fields } from "../handshake/fields.ts";
import { forwardedPeer } from "../handshake/forwarded.ts";
import { AddressBlocks } from "../util/cidr.ts";
import { choice, group, refusal } from "../util/check.ts";

/** A set of peers: blocks of addresses, and `"unix"` for all peers of a Unix socket. */
export class PeerBlocks {
  readonly #blocks: AddressBlocks;
  readonly #unix: boolean;

  /**
   * @param name The option, for error messages.
   * @throws {TypeError} If it isn't a list of blocks.
   */
  constructor(action: string, name: string, from: readonly string[]) {
    if (!Array.isArray(from)) {
      throw refusal(`${action} with ${name}`, from, 'a list such as ["10.0.0.0/8"]');
    }
    this.#unix = from.includes("unix");
    this.#blocks = new AddressBlocks(action, name, from.filter((block) => block !== "unix"));
  }

  has(address: Deno.Addr): boolean {
    return "hostname" in address ? this.hasHost(address.hostname) : this.#unix;
  }

  hasHost(hostname: string): boolean {
    return this.#blocks.has(hostname);
  }
}

/**
 * Trusted proxies, and the header in which they name the client.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({
 *   hostname: "127.0.0.1",
 *   trustProxy: { from: ["127.0.0.1"], header: "forwarded" },
 *   onConnect: (conn) => void conn.send((conn.remoteAddress as Deno.NetAddr).hostname),
 * });
 * const conn = ctx.connect(listener.url, { headers: { Forwarded: "for=192.0.2.7" } });
 * console.log(await conn.receive()); // "192.0.2.7"
 * ```
 */
export interface TrustProxyOptions {
  /** Networks of the proxies in CIDR notation, and `"unix"` for those that connect to a Unix socket. */
  from: readonly string[];
  /**
   * The header that they set. The other one is never read, since proxies pass it on from the client.
   *
   * @default {"x-forwarded-for"}
   */
  header?: "x-forwarded-for" | "forwarded";
}

/** Finds the clients of trusted proxies. */
export class TrustedProxies {
  readonly #from: PeerBlocks;
  readonly #header: "x-forwarded-for" | "forwarded";

  /** @throws {TypeError} If the option is invalid. */
  constructor(action: string, option: readonly string[] | TrustProxyOptions) {
    const { from, header }: TrustProxyOptions = Array.isArray(option)
      ? { from: option }
      : group(action, "trustProxy", option as TrustProxyOptions, "a list, or { from, header }")!;
    const isList = Array.isArray(option);
    this.#from = new PeerBlocks(action, isList ? "trustProxy" : "trustProxy.from", from);
    this.#header = choice(action, "trustProxy.header", header, ["x-forwarded-for", "forwarded"]);
  }

  /** Whether a peer is a trusted proxy. */
  has(address: Deno.Addr): boolean {
    return this.#from.has(address);
  }

  /**
   * Returns the client of a request that a trusted proxy has passed on, or the proxy itself if it names none.
   */
  clientOf(fields: Fields, peer: Deno.Addr): Deno.Addr {
    const start = "hostname" in peer ? peer : UNIX;
    const client = forwardedPeer(
      fields,
      this.#header,
      start,
      (hostname) => hostname === UNIX.hostname || this.#from.hasHost(hostname),
    );
    if (client === start) return peer;
    return { transport: "tcp", hostname: client.hostname, port: client.port };
  }
}

/** A peer without an address; no header can contain this name. */
const UNIX = { hostname: "unix", port: 0 };
