// A bare TCP echo over `Deno.Conn`: no frames, no handshake, no checks. It shows what sockets cost by themselves.

const READ_SIZE = 64 * 1024;

async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await conn.write(bytes.subarray(done));
}

async function echo(conn: Deno.TcpConn): Promise<void> {
  conn.setNoDelay(true);
  // A quiet connection waits with a small buffer; after the first full read it gets the large one.
  let buffer = new Uint8Array(512);
  try {
    for (;;) {
      const n = await conn.read(buffer);
      if (n === null) break;
      await writeAll(conn, buffer.subarray(0, n));
      if (n === buffer.length && n < READ_SIZE) buffer = new Uint8Array(READ_SIZE);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionReset)) console.error(error);
  }
  conn.close();
}

/** Echoes bytes. */
export function serve(): number {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  (async () => {
    for await (const conn of listener) echo(conn);
  })();
  return listener.addr.port;
}

/** A client that counts every `size` bytes as a message. */
export async function connect(
  url: string,
  size: number,
  onMessage: (length: number) => void,
): Promise<(payload: Uint8Array) => void> {
  const { hostname, port } = new URL(url);
  const conn = await Deno.connect({ hostname, port: Number(port) });
  conn.setNoDelay(true);
  const buffer = new Uint8Array(READ_SIZE);
  (async () => {
    for (let pending = 0;;) {
      pending += await conn.read(buffer) ?? 0;
      for (; pending >= size; pending -= size) onMessage(size);
    }
  })();
  return (payload) => void writeAll(conn, payload);
}
