import { readProxyHead } from "../handshake/proxy_head.ts";
import type { Transport } from "../transport/transport.ts";
import { choice, group, refusal } from "../util/check.ts";
import { PeerBlocks } from "./trusted_proxies.ts";

/**
 * Load balancers that speak the PROXY protocol, version 1 or 2.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * // Behind a balancer that sends PROXY heads; this machine itself may connect without one.
 * const listener = ctx.listen({
 *   hostname: "127.0.0.1",
 *   proxyProtocol: { from: ["10.0.0.0/8"], others: "plain" },
 * });
 * await ctx.connect(listener.url).opened;
 * ```
 */
export interface ProxyProtocolOptions {
  /**
   * Networks of the balancers in CIDR notation; `"unix"` for those that come by a Unix socket. They must send a head: a
   * connection without one is closed.
   */
  from: readonly string[];
  /**
   * Whether others may connect, without a head.
   *
   * @default {"refuse"}
   */
  others?: "refuse" | "plain";
}

/** The longest head, in bytes: the fixed part of version 2, and what may follow it. */
const LONGEST = 16 + 4096;
/** Takes nearly every head whole. */
const USUAL = 536;

/** Reads what a load balancer says of a connection before anything else, TLS included. */
export class ProxyProtocol {
  readonly #from: PeerBlocks;
  readonly #others: "refuse" | "plain";

  /** @throws {TypeError} If the option makes no sense. */
  constructor(action: string, option: ProxyProtocolOptions) {
    const allowed = "{ from, others }";
    group(action, "proxyProtocol", option, allowed);
    if (option === undefined) throw refusal(`${action} with proxyProtocol`, option, allowed);
    this.#from = new PeerBlocks(action, "proxyProtocol.from", option.from);
    this.#others = choice(action, "proxyProtocol.others", option.others, ["refuse", "plain"]);
  }

  /**
   * Whether a peer has to send a head.
   *
   * @throws {Error} If it may not connect at all.
   */
  expectsHead(peer: Deno.Addr): boolean {
    if (this.#from.has(peer)) return true;
    if (this.#others === "plain") return false;
    throw new Error("The peer is none of those that may connect, by proxyProtocol.from");
  }

  /**
   * Reads the head.
   *
   * @param peer The address of the socket.
   * @returns The client's address, or the peer's if the balancer speaks for itself; and what came after the head.
   * @throws {Error} If it sends something else, or not all of it.
   */
  async read(
    transport: Transport,
    peer: Deno.Addr,
  ): Promise<{ client: Deno.Addr; early: Uint8Array }> {
    let bytes = new Uint8Array(USUAL), filled = 0;
    for (;;) {
      const count = await transport.read(bytes.subarray(filled));
      if (count === null) {
        throw new Deno.errors.UnexpectedEof("The stream ended before the PROXY head was complete");
      }
      filled += count;
      const head = readProxyHead(bytes.subarray(0, filled));
      if (head === undefined) throw new Error("The peer has sent no PROXY head");
      if (head !== null) {
        const { source, length } = head;
        const client: Deno.Addr = source === null ? peer : { transport: "tcp", ...source };
        return { client, early: bytes.subarray(length, filled) };
      }
      if (filled === bytes.length) {
        // A head that isn't complete by then has announced how long it is.
        const larger = new Uint8Array(LONGEST);
        larger.set(bytes);
        bytes = larger;
      }
    }
  }
}
