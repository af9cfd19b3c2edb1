// Many WebSockets on one connection: a paused one doesn't delay the others.
import { assert, assertEquals } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { BINARY, TEXT } from "../support/frames.ts";
import { http2Certificates, Http2Peer } from "../support/http2_peer.ts";
import { pair } from "../support/pair.ts";
import { standstill } from "../support/until.ts";

const COUNT = 100, HELD = 64 << 20;

Deno.test("99 of 100 WebSockets on one connection continue while the paused one has 64 MiB to come", async () => {
  await using ctx = new Context({ keepAlive: false, maxMessageSize: 0 });
  const opened: Connection[] = [];
  const { port } = ctx.listen({
    hostname: "127.0.0.1",
    http2: true,
    onConnect: (conn) => void opened.push(conn),
    onMessage: (conn, data) => void conn.send(data),
  });
  await using client = await Http2Peer.connect(port);
  const peers = [];
  for (let n = 0; n < COUNT; n++) peers.push(await client.webSocket());
  assertEquals(new Set(opened.map((conn) => (conn.remoteAddress as Deno.NetAddr).port)).size, 1);
  opened[0].pause();
  const writing = peers[0].send(BINARY, new Uint8Array(HELD));
  const read = await standstill(() => opened[0].stats().bytesReceived);
  assert(read <= 256 * 1024, `${read} bytes were read`);
  // In rounds, in which all others exchange a message at the same time.
  for (let round = 0; round < 10; round++) {
    await Promise.all(
      peers.slice(1).map(async (peer, n) => {
        await peer.send(TEXT, `${round} ${n}`);
        assertEquals(new TextDecoder().decode((await peer.next(TEXT)).payload), `${round} ${n}`);
      }),
    );
  }
  assertEquals(opened[0].stats().bytesReceived, read);
  opened[0].on({ onMessage: (conn, data) => void conn.send(String(data.length)) });
  opened[0].resume();
  await writing;
  const { payload } = await peers[0].next(TEXT);
  assertEquals(new TextDecoder().decode(payload), String(HELD));
  for (const peer of peers) peer.close();
});

Deno.test("10 WebSockets that send as fast as possible over one connection make progress side by side", async () => {
  const [each, most] = [10, 300];
  await using ends = await pair(
    {
      onMessage: (conn, data) => {
        if (!conn.send(data)) return conn.drained().catch(() => {});
      },
    },
    {},
    "2",
  );
  const { ctx, client } = ends;
  const conns = [client];
  while (conns.length < 10) {
    conns.push(
      ctx.connect(client.url, { http2: true, tls: { caCerts: [http2Certificates().ca] } }),
    );
  }
  const counts = conns.map(() => 0);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  for (const [n, conn] of conns.entries()) {
    await conn.opened;
    const message = new Uint8Array(64 * 1024);
    conn.on({
      onMessage() {
        if (++counts[n] === most) reject(new Error(`Echoes: ${counts}`));
        if (counts.every((count) => count >= each)) resolve();
        conn.send(message);
      },
    });
    for (let sent = 0; sent < 4; sent++) conn.send(message);
  }
  await promise;
});
