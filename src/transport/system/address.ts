import { parseAddress } from "../../util/ip_address.ts";
import { AF_INET, AF_INET6, AF_UNIX } from "./libc.ts";
import { encodeUtf8 } from "../../protocol/utf8.ts";

const LONGEST = 110;
const LONGEST_PATH = 107;

/** A buffer for any socket address, and one for its length. */
export interface AddressRoom {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly length: Uint32Array<ArrayBuffer>;
}

/** Makes the buffers for an address. */
export function addressRoom(): AddressRoom {
  return { bytes: new Uint8Array(LONGEST), length: Uint32Array.of(LONGEST) };
}

/** Encodes an IP address and a port (`sockaddr_in`, `sockaddr_in6`). */
export function encodeInet(hostname: string, port: number): Uint8Array<ArrayBuffer> {
  const zone = hostname.indexOf("%");
  const address = parseAddress(hostname);
  if (address === undefined) throw new TypeError(`Cannot use ${hostname} as an address`);
  const v6 = address.length === 16;
  const bytes = new Uint8Array(v6 ? 28 : 16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, v6 ? AF_INET6 : AF_INET, true);
  view.setUint16(2, port);
  bytes.set(address, v6 ? 8 : 4);
  if (v6 && zone >= 0) view.setUint32(24, Number(hostname.slice(zone + 1)) || 0, true);
  return bytes;
}

/** Encodes a path (`sockaddr_un`). */
export function encodeUnix(path: string): Uint8Array<ArrayBuffer> {
  const name = encodeUtf8(path);
  if (name.length > LONGEST_PATH) {
    throw new RangeError(`Cannot use a path of ${name.length} bytes: at most ${LONGEST_PATH}`);
  }
  const bytes = new Uint8Array(2 + name.length + 1);
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, true);
  bytes.set(name, 2);
  return bytes;
}

/** Decodes an address to the form of Deno's sockets. */
export function decodeAddress({ bytes, length }: AddressRoom): Deno.NetAddr | Deno.UnixAddr {
  const view = new DataView(bytes.buffer);
  const family = view.getUint16(0, true);
  if (family === AF_UNIX) {
    const end = bytes.indexOf(0, 2);
    const name = bytes.subarray(2, Math.min(end < 0 ? LONGEST : end, length[0]));
    return { transport: "unix", path: new TextDecoder().decode(name) };
  }
  const port = view.getUint16(2);
  if (family === AF_INET) {
    return { transport: "tcp", hostname: bytes.subarray(4, 8).join("."), port };
  }
  const groups = [];
  for (let at = 8; at < 24; at += 2) groups.push(view.getUint16(at).toString(16));
  // The URL parser produces the short form of IPv6 addresses (RFC 5952).
  const hostname = new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
  return { transport: "tcp", hostname, port };
}
