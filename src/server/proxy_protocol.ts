import { readProxyHead } from "../handshake/proxy_head.ts";
import { readParsed } from "../transport/stream_io.ts";
import type { Transport } from "../transport/transport.ts";
import { choice, group, refusal } from "../util/check.ts";
import { PeerBlocks } from "./trusted_proxies.ts";

/** Load balancers that speak the PROXY protocol, version 1 or 2. */
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
