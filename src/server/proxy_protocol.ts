import { readProxyHead } from "../handshake/proxy_head.ts";
import { readParsed } from "../transport/stream_io.ts";
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
   * Networks of the balancers in CIDR notation, and `"unix"` for those that connect to a Unix socket. They must send a
   * head: a connection without one is closed.
   */
  from: readonly string[];
  /**
   * Whether other peers may connect, without a head: `"plain"`, or `"refuse"` to close their connections.
   *
   * @default {"refuse"}
   */
  others?: "refuse" | "plain";
}

/** Reads the head that a load balancer sends before everything else, TLS included. */
export class ProxyProtocol {
  readonly #from: PeerBlocks;
  readonly #others: "refuse" | "plain";

  /** @throws {TypeError} If the option is invalid. */
  constructor(action: string, option: ProxyProtocolOptions) {
    const allowed = "{ from, others }";
    group(action, "proxyProtocol", option, allowed);
    if (option === undefined) throw refusal(`${action} with proxyProtocol`, option, allowed);
    this.#from = new PeerBlocks(action, "proxyProtocol.from", option.from);
    this.#others = choice(action, "proxyProtocol.others", option.others, ["refuse", "plain"]);
  }

  /**
   * Says whether a peer has to send a head.
   *
   * @throws {Error} If the peer may not connect.
   */
  expectsHead(peer: Deno.Addr): boolean {
    if (this.#from.has(peer)) return true;
    if (this.#others === "plain") return false;
    throw new Error("The peer is not in proxyProtocol.from, and others are refused");
  }

  /**
   * Reads the head.
   *
   * @param peer The address of the socket.
   * @returns The client's address, or the peer's if the connection is the balancer's own, and the bytes after the head.
   * @throws {Error} If the bytes aren't a head, or the stream ends before the head is complete.
   */
  async read(
    transport: Transport,
    peer: Deno.Addr,
  ): Promise<{ client: Deno.Addr; early: Uint8Array }> {
    const found = await readParsed(transport, (bytes) => {
      const head = readProxyHead(bytes);
      if (head === undefined) throw new Error("The peer has sent no PROXY head");
      if (head === null) return null;
      const { source, length } = head;
      const client: Deno.Addr = source === null ? peer : { transport: "tcp", ...source };
      return { client, early: bytes.subarray(length) };
    });
    if (found === null) {
      throw new Deno.errors.UnexpectedEof("The stream ended before the PROXY head was complete");
    }
    return found;
  }
}
