import { readParsed } from "./stream_io.ts";
import type { Transport } from "./transport.ts";

/** The longest hello in bytes; one with post-quantum keys has about 1,800. */
const LONGEST = 16 * 1024;
const RECORD_HEADER = 5;
const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const HOST_NAME = 0;

/**
 * Finds the server name that a client requests (RFC 6066 3) in the first bytes that it sends (RFC 8446 4.1.2).
 *
 * @param bytes The bytes received so far.
 * @returns The name in lower case; `""` if none is requested, or the bytes aren't a hello, for which TLS has the error;
 * `null` if more bytes are needed.
 */
export function readServerName(bytes: Uint8Array): string | null {
  const hello = helloOf(bytes);
  if (hello === null) return bytes.length < LONGEST ? null : "";
  return hello === undefined ? "" : serverNameOf(hello);
}

/** The body of the hello, joined from its records; `null` if more bytes are needed, `undefined` if it isn't a hello. */
function helloOf(bytes: Uint8Array): Uint8Array | null | undefined {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (let at = 0;;) {
    if (at < bytes.length && bytes[at] !== HANDSHAKE) return undefined;
    if (bytes.length < at + RECORD_HEADER) return null;
    const size = bytes[at + 3] << 8 | bytes[at + 4];
    if (size === 0) return undefined;
    const part = bytes.subarray(at + RECORD_HEADER, at + RECORD_HEADER + size);
    parts.push(part);
    length += part.length;
    at += RECORD_HEADER + size;
    const [first = CLIENT_HELLO, ...rest] = head(parts, 4);
    if (first !== CLIENT_HELLO) return undefined;
    if (rest.length === 3) {
      const needed = 4 + (rest[0] << 16 | rest[1] << 8 | rest[2]);
      if (needed > LONGEST) return undefined;
      if (length >= needed) return head(parts, needed).subarray(4);
    }
    if (bytes.length < at) return null;
  }
}

/** The first `count` bytes of some pieces, or all if there are fewer. */
function head(parts: readonly Uint8Array[], count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  let filled = 0;
  for (const part of parts) {
    const piece = part.subarray(0, count - filled);
    bytes.set(piece, filled);
    filled += piece.length;
    if (filled === count) break;
  }
  return bytes.subarray(0, filled);
}

function serverNameOf(hello: Uint8Array): string {
  // Skips the version and the random value, then the session's id, the cipher suites and the compression methods, each of
  // which is preceded by its length.
  let at = 34;
  at += 1 + (hello[at] ?? 0);
  at += 2 + (hello[at] << 8 | hello[at + 1]);
  at += 1 + (hello[at] ?? 0);
  for (at += 2; at + 4 <= hello.length;) {
    const type = hello[at] << 8 | hello[at + 1], size = hello[at + 2] << 8 | hello[at + 3];
    const extension = hello.subarray(at + 4, at + 4 + size);
    // After the length of the list come the kind of name, its length, and the name.
    if (type === SERVER_NAME && extension[2] === HOST_NAME) {
      const length = extension[3] << 8 | extension[4];
      return String.fromCharCode(...extension.subarray(5, 5 + Math.min(length, 255))).toLowerCase();
    }
    at += 4 + size;
  }
  return "";
}

/** Reads from a transport until the server name is known. The caller has to pass the bytes to TLS. */
export async function awaitServerName(
  transport: Transport,
): Promise<{ serverName: string; bytes: Uint8Array }> {
  const found = await readParsed(transport, (bytes) => {
    const serverName = readServerName(bytes);
    return serverName === null ? null : { serverName, bytes };
  });
  if (found === null) {
    throw new Deno.errors.UnexpectedEof("the peer closed the connection during the handshake");
  }
  return found;
}
