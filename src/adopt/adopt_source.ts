import type { Duplex } from "node:stream";
import { type HeldWatch, isNodeDuplex, NodeStreamTransport } from "../transport/node_stream.ts";
import { PrefixedTransport } from "../transport/prefixed.ts";
import type { Transport } from "../transport/transport.ts";
import { copyOf } from "../util/bytes.ts";
import { refusal } from "../util/check.ts";
import { isStreamPair, type StreamPair, WebStreamTransport } from "../transport/web_stream.ts";

/**
 * An open byte stream for `adopt`. A `node:tls` socket can't slow its peer down: if it receives 16 MiB while its connection
 * is held, the connection is terminated.
 *
 * @see {@linkcode Context.prototype.adopt}
 */
export type AdoptSource = Deno.Conn | Duplex | StreamPair;

/**
 * Takes over a byte stream. If it throws, the stream is unchanged.
 *
 * @param source The stream.
 * @param initialData Bytes that were read from it already.
 * @param watch Notified if a stream has received too much while it wasn't read, which may happen with TLS.
 * @returns A transport that owns the stream.
 * @throws {TypeError} If it isn't a byte stream, is locked, or doesn't carry bytes.
 */
export function takeOver(
  source: unknown,
  initialData: Uint8Array | undefined,
  watch: HeldWatch | undefined,
): Transport {
  const transport = asTransport(source, watch);
  return initialData === undefined || initialData.length === 0
    ? transport
    // A copy, since the caller may reuse its buffer.
    : new PrefixedTransport(copyOf(initialData), transport);
}

function asTransport(source: unknown, watch: HeldWatch | undefined): Transport {
  if (isConn(source)) {
    // If the streams are in use, some reads would go to the other consumer.
    if (source.readable.locked || source.writable.locked) {
      throw new TypeError("Cannot adopt a connection whose streams are locked");
    }
    if ("setNoDelay" in source) (source as Deno.TcpConn).setNoDelay(true);
    return source;
  }
  if (isStreamPair(source)) return new WebStreamTransport(source);
  if (isNodeDuplex(source)) return new NodeStreamTransport(source, watch);
  throw refusal("adopt", source, "a Deno.Conn, a Node socket or { readable, writable }");
}

function isConn(source: unknown): source is Deno.Conn {
  const conn = source as Partial<Deno.Conn> | null;
  return typeof conn === "object" && conn !== null && typeof conn.read === "function" &&
    typeof conn.closeWrite === "function" && isStreamPair(conn);
}

/**
 * Says whether a stream is known to use TLS.
 *
 * @param source The stream.
 * @returns Whether it is a `Deno.TlsConn` or a `node:tls` socket.
 */
export function isEncrypted(source: unknown): boolean {
  const stream = source as { handshake?: unknown; encrypted?: unknown } | null | undefined;
  return (isConn(source) && typeof stream?.handshake === "function") || stream?.encrypted === true;
}
