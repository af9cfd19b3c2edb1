import type { Fields } from "../handshake/fields.ts";
import { forwardedPeer } from "../handshake/forwarded.ts";
import { AddressBlocks } from "../util/cidr.ts";
import { choice, group, refusal } from "../util/check.ts";

/** Peers that are named by blocks of addresses, and by the word `"unix"` for those of a Unix socket. */
export class PeerBlocks {
  readonly #blocks: AddressBlocks;
  readonly #unix: boolean;

  /**
   * @param name The option, for messages.
   * @throws {TypeError} If it is no list, or one of it is no block.
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
 * Which proxies are believed when they say, in a header, where a request comes from.
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
  /** Networks of the proxies in CIDR notation; `"unix"` for those that come by a Unix socket. */
  from: readonly string[];
  /**
   * The header that they set. The other one is never read, since proxies pass on what a client has sent.
   *
   * @default {"x-forwarded-for"}
   */
  header?: "x-forwarded-for" | "forwarded";
}

/** Proxies that are believed when they say where a request comes from. */
export class TrustedProxies {
  readonly #from: PeerBlocks;
  readonly #header: "x-forwarded-for" | "forwarded";

  /** @throws {TypeError} If the option makes no sense. */
  constructor(action: string, option: readonly string[] | TrustProxyOptions) {
    const { from, header }: TrustProxyOptions = Array.isArray(option)
      ? { from: option }
      : group(action, "trustProxy", option as TrustProxyOptions, "a list, or { from, header }")!;
    const isList = Array.isArray(option);
    this.#from = new PeerBlocks(action, isList ? "trustProxy" : "trustProxy.from", from);
    this.#header = choice(action, "trustProxy.header", header, ["x-forwarded-for", "forwarded"]);
  }

  /** Whether what a peer says of its clients is believed. */
  has(address: Deno.Addr): boolean {
    return this.#from.has(address);
  }

  /**
   * The client of a request that a trusted peer has passed on.
   *
   * @returns The peer itself if it doesn't say.
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

/** Stands for a peer without an address; no header can say this. */
const UNIX = { hostname: "unix", port: 0 };
