import { parseAddress } from "../util/ip_address.ts";
import { quote } from "../util/quote.ts";

/** The longest line of PROXY protocol v1 in bytes, its end included. */
const LONGEST_V1 = 107;
/** The most bytes after the fixed part of v2: addresses take at most 216, and the rest are TLVs. */
const LONGEST_V2 = 4096;
const SIGNATURE = Uint8Array.of(13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10);
const FIXED = 16;
const LF = 0x0a;

/** The contents of a PROXY head. */
export interface ProxyHead {
  /** The client's address; `null` if the connection is the proxy's own (LOCAL), or the address isn't known. */
  readonly source: { readonly hostname: string; readonly port: number } | null;
  /** The length of the head in bytes. */
  readonly length: number;
}

/**
 * Reads the head that a proxy sends before everything else, TLS included (HAProxy's "The PROXY protocol", versions 1
 * and 2).
 *
 * @param bytes The bytes received so far.
 * @returns The head; `null` if more bytes are needed; `undefined` if the bytes aren't the beginning of a head.
 * @throws {Error} If the head is malformed.
 */
export function readProxyHead(bytes: Uint8Array): ProxyHead | null | undefined {
  if (startsLike(bytes, SIGNATURE)) {
    return bytes.length < FIXED ? null : readBinary(bytes);
  }
  const text = String.fromCharCode(...bytes.subarray(0, LONGEST_V1));
  if (!"PROXY ".startsWith(text.slice(0, 6))) return undefined;
  const end = bytes.subarray(0, LONGEST_V1).indexOf(LF);
  if (end < 0) {
    if (bytes.length >= LONGEST_V1) {
      throw new Error(`The PROXY line is longer than ${LONGEST_V1} bytes`);
    }
    return null;
  }
  return readLine(text.slice(0, end + 1));
}

function startsLike(bytes: Uint8Array, signature: Uint8Array): boolean {
  const length = Math.min(bytes.length, signature.length);
  for (let i = 0; i < length; i++) if (bytes[i] !== signature[i]) return false;
  return length > 0;
}

/** Version 1: one line of text. */
function readLine(line: string): ProxyHead {
  const { length } = line;
  if (!line.endsWith("\r\n")) throw new Error("The PROXY line doesn't end with CR LF");
  const [, family, source, target, sourcePort, targetPort, ...rest] = line.slice(0, -2).split(" ");
  // The receiver must ignore the rest of the line.
  if (family === "UNKNOWN") return { source: null, length };
  const bytes = family === "TCP4" ? 4 : family === "TCP6" ? 16 : 0;
  if (bytes === 0) {
    throw new Error(`The PROXY line names an unknown family: ${quote(family ?? "")}`);
  }
  for (const address of [source, target]) {
    if (parseAddress(address ?? "")?.length !== bytes) {
      throw new Error(`The PROXY line has ${quote(address ?? "")} as an address of ${family}`);
    }
  }
  const [port] = [sourcePort, targetPort].map((text) => {
    if (!/^(0|[1-9]\d{0,4})$/.test(text ?? "") || Number(text) > 65535) {
      throw new Error(`The PROXY line has ${quote(text ?? "")} as a port`);
    }
    return Number(text);
  });
  if (rest.length > 0) throw new Error("The PROXY line has more than six words");
  return { source: { hostname: source, port }, length };
}

/** Version 2: a binary header. */
function readBinary(bytes: Uint8Array): ProxyHead | null {
  const command = bytes[12], protocol = bytes[13];
  if (command >> 4 !== 2) throw new Error(`The PROXY head has version ${command >> 4}`);
  if ((command & 0xf) > 1) throw new Error(`The PROXY head has command ${command & 0xf}`);
  const rest = bytes[14] << 8 | bytes[15];
  if (rest > LONGEST_V2) throw new Error(`The PROXY head announces ${rest} bytes: too many`);
  const length = FIXED + rest;
  if (bytes.length < length) return null;
  // LOCAL: the proxy's own connection, such as a health check. Its addresses must be ignored.
  if ((command & 0xf) === 0) return { source: null, length };
  const family = protocol >> 4, size = family === 1 ? 4 : family === 2 ? 16 : 0;
  // UNSPEC and Unix sockets have no IP address.
  if (family > 3 || (protocol & 0xf) > 2) throw new Error(`The PROXY head has family ${protocol}`);
  if (size === 0) return { source: null, length };
  if (rest < 2 * size + 4) throw new Error(`The PROXY head has ${rest} bytes: too few`);
  const source = bytes.subarray(FIXED, FIXED + size);
  const port = FIXED + 2 * size;
  return { source: { hostname: format(source), port: bytes[port] << 8 | bytes[port + 1] }, length };
}

/** Formats an address as text (RFC 5952); the URL parser shortens the longest run of zeros. */
function format(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = [];
  for (let i = 0; i < 16; i += 2) groups.push((bytes[i] << 8 | bytes[i + 1]).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}
