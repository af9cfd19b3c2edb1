import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { exampleArgs } from "../support/example.ts";
import { numbered, numberOf } from "../support/messages.ts";
import { seeded } from "../support/random.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { standstill, turn, until } from "../support/until.ts";
import { mayFail } from "../support/failure.ts";

/** A server that sends to its clients as fast as they read, until it is shut down. */
function sender(ctx: Context, sent: Map<number, number>, size: () => number) {
  const send = (conn: Connection) => {
    const id = Number(new URL(conn.url).search.slice(1));
    let count = sent.get(id) ?? 0;
    try {
      for (let more = true; more && count < 1_000_000;) {
        more = conn.send(numbered(count, size()));
        sent.set(id, ++count);
      }
    } catch {
      // The connection is closing, so the message wasn't accepted.
    }
  };
  return ctx.listen({
    hostname: "127.0.0.1",
    onConnect: send,
    onDrain: send,
    onMessage: () => {},
    onError: () => {},
  });
}

for (const compression of [false, true]) {
  Deno.test(`shutdown under load: a clean close has delivered all${compression ? " compressed" : ""} messages that send has accepted`, async () => {
    const random = seeded(11), sent = new Map<number, number>();
    const server = new Context({ compression }), clients = new Context({ compression });
    const listener = sender(server, sent, () => 4 + Math.floor(random() * 3000));
    const all = Array.from({ length: 40 }, (_, id) => {
      const got = { id, count: 0, next: 0 };
      const conn = clients.connect(`${listener.url}?${id}`, {
        onMessage: (conn, data) => {
          assertEquals(numberOf(data), got.next++);
          got.count++;
          if (random() < 0.01) {
            conn.pause();
            turn().then(() => conn.resume());
          }
        },
      });
      return { conn, got };
    });
    await until(() => all.every(({ got }) => got.count > 50));
    const records = [...server.connections].map((conn) => conn.closed);
    const { clean, terminated } = await server.shutdown({ timeout: 30_000 });
    assertEquals([clean, terminated], [40, 0]);
    for (const record of await Promise.all(records)) {
      assertEquals([record.unsentMessages, record.unsentBytes, record.wasClean], [0, 0, true]);
    }
    for (const { conn, got } of all) {
      assertEquals((await conn.closed).code, 1001);
      assertEquals(got.count, sent.get(got.id), `connection ${got.id}`);
    }
    await clients.shutdown();
  });
}

Deno.test("shutdown under load: messages that a peer hasn't read are counted, and those it has read are in order", async () => {
  const sent = new Map<number, number>(), size = 10_000;
  const server = new Context();
  const listener = sender(server, sent, () => size);
  const peer = await RawPeer.connect(listener.port, {}, "GET /?1 HTTP/1.1");
  // Until the buffers of the kernel are full, or the close frame may still be written.
  await until(() => server.stats().queuedBytes > 0);
  await standstill(() => server.stats().bytesSent);
  const [conn] = server.connections;
  const { clean, terminated } = await server.shutdown({ timeout: 50 });
  assertEquals([clean, terminated], [0, 1]);
  const record = await conn.closed;
  assertEquals([record.wasClean, record.code], [false, 1006]);
  const all = sent.get(1)!;
  assert(record.unsentMessages > 0 && record.unsentMessages <= all, `${record}`);
  assert(record.unsentBytes > (record.unsentMessages - 1) * size, `${record.unsentBytes}`);
  assert(record.unsentBytes <= record.unsentMessages * size);
  // Messages in the kernel's buffer still arrive unless there was a reset: once, in order, and no others.
  let got = 0;
  for (;;) {
    const frame = await mayFail(peer.frame(), "a reset is an end") ?? null;
    if (frame === null || frame.opcode !== 2) break;
    assertEquals(numberOf(frame.payload), got++);
  }
  // A pending write counts as unsent, although the kernel may have accepted it: a block of 64 KiB.
  const onItsWay = Math.ceil(64 * 1024 / size);
  assert(got <= all - record.unsentMessages + onItsWay, `${got} of ${all} came, ${record}`);
  peer.close();
});

Deno.test("shutdown under load: handshakes in progress get 503, and new connections no response", async () => {
  const server = new Context();
  const listener = server.listen({ hostname: "127.0.0.1", onHandshakeError: () => {} });
  using half = await RawPeer.dial(listener.port);
  await half.conn.write(new TextEncoder().encode("GET / HTTP/1.1\r\n"));
  using open = await RawPeer.connect(listener.port);
  const shutdown = server.shutdown({ timeout: 50 });
  assertEquals((await half.response()).status, 503);
  assertEquals((await open.frame())!.opcode, 8);
  assertEquals(await shutdown, { clean: 0, terminated: 1 });
});

/** The example, with a peer that never answers a close frame. */
async function stubborn(timeout: number) {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...exampleArgs("graceful_shutdown"), "--timeout", String(timeout)],
    stdout: "piped",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const port = Number(/:(\d+)/.exec((await lines.read()).value!)![1]);
  return { child, lines, peer: await RawPeer.connect(port) };
}

Deno.test("SIGTERM: a peer that doesn't close is terminated at the timeout, and the exit code is 1", async () => {
  const { child, lines, peer } = await stubborn(100);
  child.kill("SIGTERM");
  assertMatch((await lines.read()).value!, /closed 0 cleanly, 1 by force/);
  assertEquals((await child.status).code, 1);
  await lines.cancel();
  peer.close();
});

Deno.test("SIGTERM: a second signal ends the program at once", async () => {
  const { child, lines, peer } = await stubborn(600_000);
  child.kill("SIGTERM");
  assertEquals((await peer.frame())!.opcode, 1);
  assertEquals((await peer.frame())!.opcode, 8);
  child.kill("SIGTERM");
  const { signal, code } = await child.status;
  assertEquals([signal, code], ["SIGTERM", 143]);
  await lines.cancel();
  peer.close();
});
