import { isInBlock, parseAddress } from "../util/ip_address.ts";

const MAPPED = parseAddress("::ffff:0:0")!;

/** Counts connections by their peer's address. */
export class AddressLimit {
  readonly #most: number;
  readonly #counts = new Map<string, number>();

  /** @param most The most connections of one address. */
  constructor(most: number) {
    this.#most = most;
  }

  /** The number of addresses that have a connection. */
  get size(): number {
    return this.#counts.size;
  }

  /**
   * Counts a connection, unless its address has reached the limit.
   *
   * @returns A function that removes it from the count, once; `null` if there are too many.
   */
  take(addr: Deno.Addr): (() => void) | null {
    // Peers of a Unix socket have no address.
    if (!("hostname" in addr)) return () => {};
    const key = addressKey(addr.hostname);
    const count = this.#counts.get(key) ?? 0;
    if (count >= this.#most) return null;
    this.#counts.set(key, count + 1);
    let taken = true;
    return () => {
      if (!taken) return;
      taken = false;
      const left = this.#counts.get(key)! - 1;
      if (left === 0) this.#counts.delete(key);
      else this.#counts.set(key, left);
    };
  }
}

/**
 * Returns the part of an address that is counted: all of IPv4, and the first 64 bits of IPv6, since a peer with one address
 * of such a network can use all of them (RFC 4291 2.5.4).
 *
 * @param hostname The address as text.
 * @returns A text that is the same for addresses that count as one.
 */
export function addressKey(hostname: string): string {
  const address = parseAddress(hostname);
  if (address === undefined || address.length === 4) return hostname;
  // IPv4 mapped into IPv6, as in dual-stack sockets (RFC 4291 2.5.5.2).
  if (isInBlock(address, MAPPED, 96)) return address.subarray(12).join(".");
  const groups = [0, 2, 4, 6].map((at) => (address[at] << 8 | address[at + 1]).toString(16));
  return groups.join(":");
}
