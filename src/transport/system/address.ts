import { parseAddress } from "../../util/ip_address.ts";
import { AF_INET, AF_INET6, AF_UNIX } from "./libc.ts";

const LONGEST = 110;
const LONGEST_PATH = 107;

/** Room for any address that the kernel gives, and for its length. */
export interface AddressRoom {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly length: Uint32Array<ArrayBuffer>;
}

/** Makes room for an address. */
export function addressRoom(): AddressRoom {
  return { bytes: new Uint8Array(LONGEST), length: Uint32Array.of(LONGEST) };
}

/** An IP address and a port as the kernel takes them (`sockaddr_in`, `sockaddr_in6`). */
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

/** A path as the kernel takes it (`sockaddr_un`). */
export function encodeUnix(path: string): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode(path);
  if (name.length > LONGEST_PATH) {
    throw new RangeError(`Cannot use a path of ${name.length} bytes: at most ${LONGEST_PATH}`);
  }
  const bytes = new Uint8Array(2 + name.length + 1);
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, true);
  bytes.set(name, 2);
  return bytes;
}

/** An address that the kernel has given, as Deno has it. */
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
  // The reader of URLs knows the short form (RFC 5952).
  const hostname = new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
  return { transport: "tcp", hostname, port };
}
