import { assert, assertEquals } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { EventLog } from "../support/event_log.ts";
import { exchange, exchangeFragments } from "../support/exchange.ts";
import { WsPeer } from "../support/ws_peer.ts";

const OPTIONS = { maxMessageSize: 64 * 1024 * 1024 };

/** A connection of the library whose peer is the npm package `ws`. */
interface Pair extends AsyncDisposable {
  peer: WsPeer;
  conn: Connection;
  pings: EventLog<string>;
}

async function pair(
  ours: "client" | "listener",
  offered: string[],
  spoken: string[],
): Promise<Pair> {
  const pings = new EventLog<string>();
  const opened = new EventLog<Connection>();
  const ctx = new Context({
    ...OPTIONS,
    onConnect: (conn) => opened.push(conn),
    onPing: (_conn, payload) => pings.push(new TextDecoder().decode(payload)),
  });
  let peer: WsPeer;
  if (ours === "client") {
    peer = await WsPeer.start("server");
    const event = await peer.next();
    assert(event.event === "listening");
    ctx.connect(`ws://127.0.0.1:${(event as { port: number }).port}/`, { protocols: offered });
  } else {
    const listener = ctx.listen({ hostname: "127.0.0.1", protocols: spoken });
    peer = await WsPeer.start("client", listener.url, ...offered);
    assertEquals(await peer.next(), { event: "open", protocol: spoken[0] ?? "" });
  }
  const conn = await opened.next();
  return {
    peer,
    conn,
    pings,
    async [Symbol.asyncDispose]() {
      await peer[Symbol.asyncDispose]();
      await ctx.shutdown();
    },
  };
}

for (const ours of ["client", "listener"] as const) {
  const other = ours === "client" ? "server" : "client";

  Deno.test(`ws as a ${other}exchanges a subprotocol, text, binary, fragments, pings and our close`, async () => {
    await using all = await pair(ours, ["other", "chat"], ["chat"]);
    const { peer, conn, pings } = all;
    assertEquals(conn.protocol, "chat");
    await exchange(conn);

    await exchangeFragments(conn);
    assertEquals((await peer.next()).event, "ping");
    conn.send("!fragments");
    assertEquals(await conn.receive(), "one € two");
    assertEquals(await conn.receive(), Uint8Array.of(1, 2, 3));
    assertEquals(await pings.next(), "between");
    assertEquals(await peer.next(), { event: "pong", payload: "between" });

    assert(await conn.ping("from us") >= 0);
    assertEquals(await peer.next(), { event: "ping", payload: "from us" });
    conn.send("!ping theirs");
    assertEquals(await pings.next(), "theirs");
    assertEquals(await peer.next(), { event: "pong", payload: "theirs" });

    conn.close(3456, "we are done: €");
    const record = await conn.closed;
    assertEquals(record.sent, { code: 3456, reason: "we are done: €" });
    assertEquals(record.received, { code: 3456, reason: "we are done: €" });
    assertEquals([record.wasClean, record.initiator], [true, "local"]);
    assertEquals(await peer.next(), { event: "close", code: 3456, reason: "we are done: €" });
  });

  for (
    const [command, code, reason] of [
      ["!close 1000", 1000, ""],
      ["!close 4999 bye €", 4999, "bye €"],
      ["!close", 1005, ""],
    ] as const
  ) {
    Deno.test(`ws as a ${other} closes after: ${command}`, async () => {
      await using all = await pair(ours, [], []);
      const { peer, conn } = all;
      assertEquals(conn.protocol, "");
      conn.send(command);
      const record = await conn.closed;
      assertEquals([record.code, record.reason], [code, reason]);
      assertEquals([record.wasClean, record.initiator], [true, "remote"]);
      assertEquals(await peer.next(), { event: "close", code, reason });
    });
  }

  Deno.test(`ws as a ${other} that vanishes gives 1006 with the cause`, async () => {
    await using all = await pair(ours, [], []);
    const { peer, conn } = all;
    conn.send("!terminate");
    const record = await conn.closed;
    assertEquals([record.code, record.wasClean, record.received], [1006, false, null]);
    assert(record.cause instanceof Error);
    assertEquals((await peer.next() as { code: number }).code, 1006);
  });
}
