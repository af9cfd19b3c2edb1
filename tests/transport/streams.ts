import type { Transport } from "../../src/transport/transport.ts";

/** Writes all of `data`. */
export async function writeAll(
  to: { write(data: Uint8Array): Promise<number> },
  data: Uint8Array | string,
): Promise<void> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  for (let sent = 0; sent < bytes.length;) sent += await to.write(bytes.subarray(sent));
}

/** Reads exactly `length` bytes. */
export async function readExactly(transport: Transport, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let filled = 0; filled < length;) {
    const count = await transport.read(bytes.subarray(filled));
    if (count === null) throw new Error(`The stream ended after ${filled} of ${length} bytes`);
    filled += count;
  }
  return bytes;
}

/** Reads exactly the bytes of `text`. */
export async function readText(transport: Transport, length: number): Promise<string> {
  return new TextDecoder().decode(await readExactly(transport, length));
}

/** Echoes everything until the end, and then ends its direction. */
export async function echo(transport: Transport, size = 64 * 1024): Promise<void> {
  const buffer = new Uint8Array(size);
  for (;;) {
    const count = await transport.read(buffer);
    if (count === null) break;
    await writeAll(transport, buffer.subarray(0, count));
  }
  transport.close();
}

/** Bytes without a short period. */
export function pattern(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0, x = 1; i < length; i++) {
    x = (x * 1103515245 + 12345) & 0x7fffffff;
    bytes[i] = x >> 16;
  }
  return bytes;
}

/** A pair of connected TCP connections with no-delay. */
export async function tcpPair(): Promise<[Deno.TcpConn, Deno.TcpConn]> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [near, far] = await Promise.all([
    Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }),
    listener.accept(),
  ]);
  near.setNoDelay(true);
  far.setNoDelay(true);
  return [near, far];
}
