import { isInBlock, parseAddress } from "./ip_address.ts";

/** Blocks of addresses, as in options: `10.0.0.0/8`, `fd00::/8`, or a single address. */
export class AddressBlocks {
  readonly #blocks: { network: Uint8Array; bits: number }[];

  /**
   * @param action The attempted action, for error messages.
   * @param name The option, for error messages.
   * @param blocks The blocks in CIDR notation (RFC 4632).
   * @throws {TypeError} If a block isn't in this notation.
   */
  constructor(action: string, name: string, blocks: readonly string[]) {
    if (!Array.isArray(blocks)) {
      throw new TypeError(`Cannot ${action} with ${name} that is not a list: use ["10.0.0.0/8"]`);
    }
    this.#blocks = blocks.map((block) => {
      const [address, prefix, ...rest] = String(block).split("/");
      const network = parseAddress(address);
      const widest = network === undefined ? 0 : network.length * 8;
      const bits = prefix === undefined ? widest : Number(prefix);
      const valid = network !== undefined && rest.length === 0 && !address.includes("%") &&
        (prefix === undefined || /^\d{1,3}$/.test(prefix)) && bits <= widest;
      if (!valid) {
        throw new TypeError(
          `Cannot ${action} with ${name} ${JSON.stringify(block)}: use an address or address/bits`,
        );
      }
      return { network, bits };
    });
  }

  /** Whether an address is in one of the blocks; IPv4 addresses mapped into IPv6 (RFC 4291 2.5.5.2) count as IPv4. */
  has(address: string): boolean {
    const bytes = parseAddress(address);
    if (bytes === undefined) return false;
    const plain = unmapped(bytes);
    return this.#blocks.some(({ network, bits }) => isInBlock(plain, network, bits));
  }
}

/** Returns the IPv4 address that is mapped into an IPv6 one, as in dual-stack sockets; other addresses unchanged. */
function unmapped(bytes: Uint8Array): Uint8Array {
  const mapped = bytes.length === 16 && bytes[10] === 0xff && bytes[11] === 0xff &&
    bytes.subarray(0, 10).every((byte) => byte === 0);
  return mapped ? bytes.subarray(12) : bytes;
}
