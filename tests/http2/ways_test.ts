// HTTP/2 through a proxy and over Unix sockets.
import { assertEquals } from "@std/assert";
import { type ConnectOptions, Context, type ListenOptions } from "../../mod.ts";
import { mayFail } from "../support/failure.ts";
import { exchange } from "../support/exchange.ts";
import { http2Certificates } from "../support/http2_peer.ts";

const certificates = http2Certificates();

const SERVER: ListenOptions = {
  tls: certificates.server,
  http2: true,
  maxMessageSize: 0,
  onMessage: (conn, data) => void conn.send(data),
};
const CLIENT: ConnectOptions = {
  http2: true,
  maxMessageSize: 0,
  tls: { caCerts: [certificates.ca] },
};

/** A proxy that opens tunnels (RFC 9110 9.3.6), and records its requests. */
function tunnelProxy() {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const asked: string[] = [];
  const tunnel = async (client: Deno.TcpConn) => {
    const buffer = new Uint8Array(4096);
    const count = await client.read(buffer) ?? 0;
    const [, hostname, port] = /^CONNECT ([^:]+):(\d+) /.exec(
      new TextDecoder().decode(buffer.subarray(0, count)),
    )!;
    asked.push(`${hostname}:${port}`);
    const server = await Deno.connect({ hostname, port: Number(port) });
    await client.write(new TextEncoder().encode("HTTP/1.1 200 OK\r\n\r\n"));
    mayFail(client.readable.pipeTo(server.writable), "an end has closed");
    mayFail(server.readable.pipeTo(client.writable), "an end has closed");
  };
  const accepting = (async () => {
    for await (const client of listener) mayFail(tunnel(client), "an end has closed");
  })();
  return {
    url: `http://127.0.0.1:${listener.addr.port}`,
    asked,
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting;
    },
  };
}

Deno.test("through a proxy: WebSockets to the same server share one tunnel, and don't share a connection with direct ones", async () => {
  await using proxy = tunnelProxy();
  await using ctx = new Context();
  const { port } = ctx.listen({ hostname: "127.0.0.1", ...SERVER });
  const url = `wss://localhost:${port}/`;
  const conns = [
    ctx.connect(url, { ...CLIENT, proxy: proxy.url }),
    ctx.connect(url, { ...CLIENT, proxy: proxy.url }),
    ctx.connect(url, { ...CLIENT, proxy: null }),
  ];
  for (const conn of conns) {
    await conn.opened;
    assertEquals(conn.httpVersion, "2");
    await exchange(conn);
  }
  assertEquals(proxy.asked, [`localhost:${port}`]);
  for (const conn of conns) {
    conn.close();
    assertEquals((await conn.closed).wasClean, true);
  }
});

Deno.test("over Unix sockets: WebSockets to different paths don't share a connection", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await using ctx = new Context();
    const paths = ["a", "b"].map((name) => `${directory}/${name}`);
    for (const unix of paths) {
      ctx.listen({ unix, ...SERVER, onConnect: (conn) => void conn.send(unix) });
    }
    for (const unix of [...paths, ...paths]) {
      const conn = ctx.connect("wss://localhost/", { ...CLIENT, unix });
      await conn.opened;
      assertEquals(conn.httpVersion, "2");
      assertEquals(await conn.receive(), unix);
      await exchange(conn);
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
