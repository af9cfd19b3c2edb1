import { isInBlock, parseAddress } from "../util/ip_address.ts";

const MAPPED = parseAddress("::ffff:0:0")!;

/** Counts connections by the address that they come from. */
export class AddressLimit {
  readonly #most: number;
  readonly #counts = new Map<string, number>();

  /** @param most How many one address may have. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Addresses that have a connection. */
  get size(): number {
    return this.#counts.size;
  }

  /**
   * Counts a connection, unless its address has as many as it may.
   *
   * @returns Takes it out of the count again, once; `null` if there are too many.
   */
  take(addr: Deno.Addr): (() => void) | null {
    // Peers of a Unix socket have no address to distinguish them by.
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
 * What counts as one address: all of IPv4, and the first 64 bits of IPv6, since a peer that has one address of such a
 * network has all of them (RFC 4291 2.5.4).
 *
 * @param hostname The address as text.
 * @returns The same text for addresses that count as one.
 */
export function addressKey(hostname: string): string {
  const address = parseAddress(hostname);
  if (address === undefined || address.length === 4) return hostname;
  // IPv4 as an IPv6 socket shows it (RFC 4291 2.5.5.2).
  if (isInBlock(address, MAPPED, 96)) return address.subarray(12).join(".");
  const groups = [0, 2, 4, 6].map((at) => (address[at] << 8 | address[at + 1]).toString(16));
  return groups.join(":");
}
