import { setImmediate } from "node:timers";
import { assert, assertEquals } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { join, repeat } from "../support/bytes.ts";
import { mayFail, readToEnd } from "../support/failure.ts";
import { head, RawPeer } from "../support/raw_peer.ts";
import { rawHost, rawPeer } from "../support/pair.ts";
import { PATIENCE, turn } from "../support/until.ts";

// Without a limit, ready connections would deliver tens of thousands of messages in one turn of the event loop. A connection may
// deliver 256 before others get their turn.
const EACH = 256;
const PEERS = 4;
const MANY = 60_000;

/** The largest growth of a count within one turn of the event loop, until it is `total`. */
async function mostInOneTurn(count: () => number, total: number): Promise<number> {
  let most = 0, before = count();
  const start = Date.now();
  while (before < total) {
    if (Date.now() - start > PATIENCE) throw new Error(`${before} of ${total} have come`);
    await new Promise((resolve) => setImmediate(resolve));
    most = Math.max(most, count() - before);
    before = count();
  }
  assertEquals(before, total);
  return most;
}

/** The endless input of a peer, and how it is consumed. */
const FLOODS: Record<string, { opcode: number; text?: string; take: (add: () => void) => object }> =
  {
    "empty messages to onMessage": { opcode: 2, take: (add) => ({ onMessage: add }) },
    "texts of one byte to onMessage": {
      opcode: 1,
      text: "x",
      take: (add) => ({ onMessage: add }),
    },
    "empty messages to an iterator": {
      opcode: 2,
      take: (add) => ({
        async onConnect(conn: Connection) {
          for await (const _ of conn) add();
        },
      }),
    },
    "pings": { opcode: 9, take: (add) => ({ onMessage() {}, onPing: add }) },
    "pongs": { opcode: 10, take: (add) => ({ onMessage() {}, onPong: add }) },
  };

for (const [name, { opcode, text = "", take }] of Object.entries(FLOODS)) {
  Deno.test(`${name}: peers that send without end share the turns of the event loop`, async () => {
    let count = 0;
    const options = take(() => count++);
    const peers = await Promise.all(Array.from({ length: PEERS }, () => rawPeer(options)));
    try {
      const bytes = repeat(peers[0].raw.encode(opcode, text), MANY);
      for (const { raw } of peers) raw.write(bytes);
      const most = await mostInOneTurn(() => count, PEERS * MANY);
      assert(most <= (PEERS + 1) * EACH, `${most} in one turn`);
    } finally {
      for (const peer of peers) await peer[Symbol.asyncDispose]();
    }
  });
}

Deno.test("a client gets its turns beside a server that sends without end", async () => {
  let count = 0;
  await using peer = await rawHost({ onMessage: () => count++ });
  peer.raw.write(repeat(peer.raw.encode(2), MANY));
  const most = await mostInOneTurn(() => count, MANY);
  assert(most <= 2 * EACH, `${most} in one turn`);
});

Deno.test("messages that an iterator hasn't consumed are delivered in turns, too", async () => {
  let count = 0;
  await using peer = await rawPeer({ readAhead: 4096 });
  peer.raw.write(repeat(peer.raw.encode(2), MANY));
  await turn();
  const taken = (async () => {
    for await (const _ of peer.conn) if (++count === MANY) break;
  })();
  const most = await mostInOneTurn(() => count, MANY);
  await taken;
  assert(most <= 2 * EACH, `${most} in one turn`);
});

Deno.test("pipelined requests are answered one in a turn", async () => {
  const requests = 500;
  let count = 0;
  const ctx = new Context();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    handler: () => {
      count++;
      return new Response(null, { status: 204 });
    },
  });
  const peers = await Promise.all([1, 2].map(() => RawPeer.dial(listener.port)));
  try {
    const bytes = join(Array.from({ length: requests }, () => head("GET / HTTP/1.1", "Host: a")));
    for (const raw of peers) {
      raw.write(bytes);
      mayFail(readToEnd(raw.conn), "the end closes it");
    }
    const most = await mostInOneTurn(() => count, peers.length * requests);
    // The first request of each connection, and the first of each read, are answered at once.
    assert(most <= 2 * peers.length, `${most} in one turn`);
  } finally {
    await ctx.shutdown({ timeout: 0 });
    for (const raw of peers) raw.conn.close();
  }
});
