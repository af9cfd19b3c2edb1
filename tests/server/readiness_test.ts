/** Accepted transports that report readiness: while a peer is silent, no read is pending, and no buffer is held. */
import { assertEquals } from "@std/assert";
import { Context, type ListenOptions } from "../../mod.ts";
import type { SocketListener, Sockets, SocketTransport } from "../../src/transport/sockets.ts";
import { MemoryConn, ReadyConn } from "../support/memory_conn.ts";
import { RawPeer, upgradeRequest } from "../support/raw_peer.ts";
import { standstill } from "../support/until.ts";

const ADDR: Deno.NetAddr = { transport: "tcp", hostname: "127.0.0.1", port: 1 };

/** A listener that has accepted one end in memory, whose `read` throws, and the peer at the other end. */
function accepted(options: ListenOptions) {
  const [ours, theirs] = ReadyConn.pair();
  const transport = Object.assign(ours, {
    localAddr: ADDR,
    remoteAddr: ADDR,
    // The response of a handshake is written with promises.
    write: (data: Uint8Array) => MemoryConn.prototype.write.call(ours, data),
  });
  const later = Promise.withResolvers<SocketTransport>();
  let first = true;
  const listener: SocketListener = {
    addr: ADDR,
    accept() {
      const next = first ? Promise.resolve(transport) : later.promise;
      first = false;
      return next;
    },
    close: () => later.reject(new Deno.errors.BadResource("closed")),
    ref() {},
    unref() {},
  };
  const sockets = { listenTcp: () => listener } as unknown as Sockets;
  for (const name of ["listenUnix", "connectTcp", "connectUnix"]) {
    Object.assign(sockets, { [name]: () => {} });
  }
  const ctx = new Context({ sockets, keepAlive: false });
  ctx.listen({
    hostname: "127.0.0.1",
    onMessage: (conn, data) => void conn.send(data),
    ...options,
  });
  const raw = new RawPeer(theirs, "client");
  return {
    ours,
    raw,
    /** The number of reads; fails if one of them returned nothing. */
    async reads(): Promise<number> {
      const count = await standstill(() => ours.reads);
      assertEquals(ours.emptyReads, 0);
      return count;
    },
    async [Symbol.asyncDispose]() {
      await ctx.shutdown({ timeout: 0 });
      raw.close();
    },
  };
}

async function echoes(raw: RawPeer<MemoryConn>): Promise<void> {
  await raw.send(1, "hello");
  assertEquals(new TextDecoder().decode((await raw.next(1)).payload), "hello");
}

Deno.test("a half-open handshake reads only when bytes are there", async () => {
  await using peer = accepted({});
  const { raw } = peer;
  assertEquals(await peer.reads(), 0);
  const request = upgradeRequest();
  await raw.write(request.subarray(0, 30));
  assertEquals(await peer.reads(), 1);
  await raw.write(request.subarray(30));
  await raw.readHead();
  assertEquals(await peer.reads(), 2);
  await echoes(raw);
});

Deno.test("ordinary HTTP reads only when bytes are there, up to the request for a WebSocket", async () => {
  const asked: string[] = [];
  await using peer = accepted({
    handler: async (request) => {
      asked.push(await request.text());
      return new Response(null, { status: 204 });
    },
  });
  const { raw } = peer;
  for (let i = 1; i <= 2; i++) {
    await raw.write(`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n`);
    assertEquals(await peer.reads(), 2 * i - 1);
    await raw.write("body");
    await raw.readHead();
    assertEquals(await peer.reads(), 2 * i);
  }
  assertEquals(asked, ["body", "body"]);
  await raw.request();
  assertEquals(await peer.reads(), 5);
  await echoes(raw);
});

Deno.test("a client that disconnects during its request is noticed without a pending read", async () => {
  const left = Promise.withResolvers<unknown>();
  await using peer = accepted({
    handler: (request) =>
      new Promise((resolve) =>
        request.signal.onabort = () => {
          left.resolve(request.signal.reason);
          resolve(new Response("late"));
        }
      ),
  });
  await peer.raw.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  assertEquals(await peer.reads(), 1);
  await peer.raw.conn.closeWrite();
  await left.promise;
  assertEquals(peer.ours.reads, 2);
});
