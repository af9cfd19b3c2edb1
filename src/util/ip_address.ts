/**
 * Reads an IP address.
 *
 * @param text An IPv4 address in four decimal parts, or an IPv6 address without brackets; a zone is ignored.
 * @returns Its 4 or 16 bytes, or `undefined` if it is neither.
 */
export function parseAddress(text: string): Uint8Array | undefined {
  return text.includes(":") ? parseIPv6(text) : parseIPv4(text);
}

function parseIPv4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    // No leading zeros, which some parsers read as octal.
    if (!/^(0|[1-9]\d{0,2})$/.test(parts[i]) || Number(parts[i]) > 255) return undefined;
    bytes[i] = Number(parts[i]);
  }
  return bytes;
}

function parseIPv6(text: string): Uint8Array | undefined {
  const zone = text.indexOf("%");
  let address = zone === -1 ? text : text.slice(0, zone);
  // The last 32 bits may be written as IPv4 (RFC 4291 2.2).
  const dotted = /^(.*:)([\d.]+)$/.exec(address);
  if (dotted !== null && dotted[2].includes(".")) {
    const tail = parseIPv4(dotted[2]);
    if (tail === undefined) return undefined;
    const [a, b, c, d] = tail;
    address = `${dotted[1]}${(a << 8 | b).toString(16)}:${(c << 8 | d).toString(16)}`;
  }
  const halves = address.split("::");
  if (halves.length > 2) return undefined;
  const head = halves[0] === "" ? [] : halves[0].split(":");
  const tail = halves.length === 1 || halves[1] === "" ? [] : halves[1].split(":");
  const gap = 8 - head.length - tail.length;
  if (halves.length === 1 ? gap !== 0 : gap < 1) return undefined;
  const groups = [...head, ...Array<string>(gap).fill("0"), ...tail];
  const bytes = new Uint8Array(16);
  for (let i = 0; i < 8; i++) {
    if (!/^[0-9a-f]{1,4}$/i.test(groups[i])) return undefined;
    const value = parseInt(groups[i], 16);
    bytes[2 * i] = value >> 8;
    bytes[2 * i + 1] = value & 0xff;
  }
  return bytes;
}

/**
 * Says whether an address is in a block.
 *
 * @param address The address, as {@linkcode parseAddress} returns it.
 * @param network An address of the block.
 * @param bits The number of leading bits that the addresses of the block share.
 * @returns Whether it is; `false` if one is IPv4 and the other IPv6.
 */
export function isInBlock(address: Uint8Array, network: Uint8Array, bits: number): boolean {
  if (address.length !== network.length) return false;
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== network[i]) return false;
  const rest = bits & 7;
  return rest === 0 || (address[whole] ^ network[whole]) >> (8 - rest) === 0;
}
