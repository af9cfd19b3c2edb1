/** The kernel's buffers, which only system sockets can configure and query. */
import { assert, assertEquals } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { type SystemSocketOptions, systemSockets } from "../../system.ts";
import { BINARY, PING, PONG } from "../support/frames.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { until } from "../support/until.ts";
import { SlowLink } from "./_slow_link.ts";

const KIB = 1024, MIB = 1024 * KIB;

/** A server's connection whose peer is behind a slow link. */
async function slow(options: SystemSocketOptions, delay?: number) {
  const ctx = new Context({ sockets: systemSockets(options), keepAlive: false });
  const { promise, resolve } = Promise.withResolvers<Connection>();
  const listener = ctx.listen({ hostname: "127.0.0.1", onConnect: resolve });
  const link = new SlowLink(listener.port, delay);
  const raw = await RawPeer.connect(link.port);
  return {
    conn: await promise,
    raw,
    link,
    async [Symbol.asyncDispose]() {
      await ctx.shutdown({ timeout: 0 });
      raw.close();
      link.close();
    },
  };
}

/** Fills the queue, and waits until some bytes have passed. */
async function fill(conn: Connection, link: SlowLink): Promise<void> {
  const message = new Uint8Array(4 * KIB);
  while (conn.queuedBytes < 8 * MIB) conn.send(message);
  await until(() => link.passed > 200 * KIB);
}

/** How many bytes, and how many ms, were ahead of a ping that was sent with a full queue over a slow link. */
async function beforePing(options: SystemSocketOptions, delay?: number) {
  await using peer = await slow(options, delay);
  const { conn, raw, link } = peer;
  await fill(conn, link);
  const at = link.passed, held = conn.unacknowledgedBytes!;
  const pong = conn.ping();
  for (;;) {
    const { opcode, start, payload } = (await raw.frame())!;
    if (opcode !== PING) continue;
    await raw.send(PONG, payload);
    return { bytes: start - at, held, ms: await pong };
  }
}

Deno.test("system sockets: with notSentLowWater at most 64 KiB of a full queue are sent before a ping", async () => {
  const low = await beforePing({ notSentLowWater: 16 * KIB });
  assert(low.bytes <= 64 * KIB && low.held <= 64 * KIB, Deno.inspect(low));
  // Without it the kernel accepts all that it has room for, and no frame can overtake that.
  const plain = await beforePing({});
  assert(plain.bytes > MIB && plain.held > MIB, Deno.inspect(plain));
});

Deno.test("system sockets: with a small sendBuffer messages stay in the queue, where they are counted", async () => {
  await using peer = await slow({ sendBuffer: 16 * KIB });
  await fill(peer.conn, peer.link);
  assert(peer.conn.unacknowledgedBytes! <= 128 * KIB, String(peer.conn.unacknowledgedBytes));
});

Deno.test("system sockets: unacknowledgedBytes is the number of bytes that the peer's kernel hasn't acknowledged", async () => {
  await using peer = await slow({});
  const { conn, raw } = peer;
  assertEquals(conn.unacknowledgedBytes, 0);
  conn.send(new Uint8Array(MIB));
  await conn.drained();
  // The kernel has accepted all of it, and most of it is still in flight.
  assert(conn.unacknowledgedBytes! > 256 * KIB, String(conn.unacknowledgedBytes));
  assertEquals((await raw.next(BINARY)).payload.length, MIB);
  await until(() => conn.unacknowledgedBytes === 0);
  conn.terminate();
  await conn.closed;
  assertEquals(conn.unacknowledgedBytes ?? 0, 0);
});

Deno.test("unacknowledgedBytes is undefined with Deno's sockets", async () => {
  await using ctx = new Context({ sockets: undefined });
  const listener = ctx.listen({ hostname: "127.0.0.1", onMessage() {} });
  const conn = ctx.connect(listener.url);
  await conn.opened;
  assertEquals(conn.unacknowledgedBytes, undefined);
});
