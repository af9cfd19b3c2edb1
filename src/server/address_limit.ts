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
   * @returns Takes it out of the count again, once; `null` where there are too many.
   */
  take(addr: Deno.Addr): (() => void) | null {
    // Peers of a Unix socket have no address to tell them apart by.
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
 * What counts as one address: all of IPv4, and the first 64 bits of IPv6, since whoever has one address of such a
 * network has all of them (RFC 4291 2.5.4).
 *
 * @param hostname The address as text.
 * @returns The same text for addresses that count as one.
 */
export function addressKey(hostname: string): string {
  if (!hostname.includes(":")) return hostname;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(hostname);
  if (mapped !== null) return mapped[1];
  const [address] = hostname.split("%");
  const [head, tail] = address.toLowerCase().split("::");
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const last = tail === "" ? [] : tail.split(":");
    // An IPv4 address at the end stands for two groups.
    const width = last.length + (tail.includes(".") ? 1 : 0);
    while (groups.length + width < 8) groups.push("0");
    groups.push(...last);
  }
  return groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16)).join(":");
}
