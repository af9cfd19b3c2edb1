import { assert, assertEquals } from "@std/assert";
import { type Connection, Context, ProtocolError, type UpgradeOptions } from "../../mod.ts";
import { measure } from "../support/child.ts";
import { BINARY, frame, PING, PONG } from "../support/frames.ts";
import { RawPeer } from "../support/raw_peer.ts";

interface Held {
  grown: number;
  got: number;
  sent: number;
  took: number;
  state: string;
}

/** Measures in a process of its own. */
function held(size: number, maxHeldBytes: number): Promise<Held> {
  return measure(new URL("./programs/held_upgrade.ts", import.meta.url), size, maxHeldBytes);
}

for (const size of [0, 1, 5000]) {
  Deno.test(`fault 3: a held upgrade needs little more memory for messages of ${size} bytes than their size, and resumes in linear time`, async () => {
    const bound = 32 << 20;
    const { grown, got, sent, took, state } = await held(size, bound);
    assertEquals([got, state], [sent, "open"]);
    // The heap itself grows by about 20 MB. Before the fault was corrected, 140,000 messages cost 193 MiB; these are 500,000.
    assert(grown < bound * 1.5 + (24 << 20), `${grown} bytes for ${sent} messages`);
    // Before, 140,000 messages took a minute; these take half a second.
    assert(took < 20_000, `${took} ms`);
  });
}

/** A connection of `upgrade` with a raw peer. */
async function upgraded(options: UpgradeOptions) {
  const ctx = new Context();
  const accepted = Promise.withResolvers<Connection>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { response, connection } = ctx.upgrade(request, { onError: () => {}, ...options });
    accepted.resolve(connection);
    return response;
  });
  const peer = await RawPeer.connect(server.addr.port);
  const conn = await accepted.promise;
  await conn.opened;
  return {
    conn,
    peer,
    async [Symbol.asyncDispose]() {
      peer.close();
      await ctx.shutdown({ timeout: 0 });
      await server.shutdown();
    },
  };
}

const HOLDS: Record<string, (conn: Connection) => unknown> = {
  "pause": (conn) => conn.pause(),
  "an onMessage that awaits": (conn) => conn.on({ onMessage: () => new Promise(() => {}) }),
  "an iterator that isn't advanced": (conn) => conn[Symbol.asyncIterator](),
  "nobody": () => {},
  "message streams that aren't read": (conn) => conn.messageStreams(),
};

for (const [name, hold] of Object.entries(HOLDS)) {
  Deno.test(`fault 3: more than maxHeldBytes held by ${name} closes with 1013, with an overhead per message`, async () => {
    const failed = Promise.withResolvers<unknown>();
    await using it = await upgraded({
      readAhead: 0,
      maxHeldBytes: 100_000,
      onError: (_conn, error) => failed.resolve(error),
      ...(name === "pause" ? { onMessage: () => {} } : {}),
    });
    hold(it.conn);
    // They count as 71,000 bytes. The callback may have one of the messages.
    await it.peer.send(...Array.from({ length: 1100 }, () => frame(BINARY, "x")), frame(PING));
    assertEquals((await it.peer.next(PONG)).payload.length, 0);
    assertEquals(it.conn.state, "open");
    await it.peer.send(...Array.from({ length: 600 }, () => frame(BINARY, "x")));
    assertEquals(await it.peer.closeCode(), 1013);
    const cause = await failed.promise;
    assert(cause instanceof ProtocolError && cause.message.includes("100000"), String(cause));
  });
}

Deno.test("fault 3: messages that are consumed as they arrive have no limit", async () => {
  let got = 0;
  const all = Promise.withResolvers<void>();
  await using it = await upgraded({
    maxHeldBytes: 1000,
    onMessage: () => {
      if (++got === 5000) all.resolve();
    },
  });
  await it.peer.send(...Array.from({ length: 5000 }, () => frame(BINARY, "x".repeat(100))));
  await all.promise;
  assertEquals(it.conn.state, "open");
});

Deno.test("fault 3: large, small and empty messages keep their order while they are held", async () => {
  const sizes = [0, 1, 125, 126, 70_000, 0, 65_536, 65_537, 3, 300_000, 50_000, 50_000, 2, 16_000];
  const got: Uint8Array[] = [];
  const all = Promise.withResolvers<void>();
  await using it = await upgraded({
    onMessage: (_conn, data) => {
      got.push(data as Uint8Array);
      if (got.length === sizes.length * 2) all.resolve();
    },
  });
  const messages = sizes.map((size, i) => new Uint8Array(size).fill(i + 1));
  const frames = messages.map((message) => frame(BINARY, message));
  it.conn.pause();
  await it.peer.send(...frames, frame(PING));
  await it.peer.next(PONG);
  it.conn.resume();
  await it.peer.send(...frames);
  await all.promise;
  for (const [i, data] of got.entries()) assertEquals(data, messages[i % sizes.length], `${i}`);
});
