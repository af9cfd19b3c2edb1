import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { mayFail } from "../support/failure.ts";
import { type AdoptOptions, Context, HandshakeError, TimeoutError } from "../../mod.ts";
import { utf8 } from "../support/bytes.ts";
import { MemoryConn } from "../support/memory_conn.ts";
import { RawPeer, upgradeRequest } from "../support/raw_peer.ts";
import { turn, until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual_clock.ts";
import { WatchedConn } from "../support/watched_conn.ts";

// The stream of an opening handshake, which may belong to the application, and may be ended by it.

const ROLES: Record<"server" | "client", AdoptOptions> = {
  server: { role: "server" },
  client: { role: "client", url: "ws://127.0.0.1/" },
};

/** The stages of a handshake, each with what the peer has done. */
const STAGES: Record<string, (peer: RawPeer<WatchedConn>) => Promise<unknown>> = {
  "nothing was read": () => Promise.resolve(),
  "a part of the head was read": (peer) =>
    peer.write(peer.role === "client" ? "GET / HTTP/1.1\r\n" : "HTTP/1.1 101 \r\n"),
  "a refusal's body is read": (peer) =>
    peer.write(
      peer.role === "client"
        ? "GET / HTTP/1.1\r\nHost: a\r\n\r\nand more"
        : "HTTP/1.1 403 No\r\n\r\nbody",
    ),
};

for (const role of ["server", "client"] as const) {
  for (const [stage, play] of Object.entries(STAGES)) {
    for (const way of ["close", "terminate", "signal", "timeout", "shutdown"] as const) {
      if (way === "signal" && role === "server") continue;
      Deno.test(`the stream of a ${role}'s handshake isn't used after ${way} when ${stage}`, async () => {
        using clock = new VirtualClock();
        const ctx = new Context();
        // With a small capacity, so that writes have to wait for the peer, too.
        const [near, far] = WatchedConn.pair(40, WatchedConn);
        using peer = new RawPeer(far, role === "server" ? "client" : "server");
        const abort = new AbortController();
        const conn = ctx.adopt(near, {
          ...ROLES[role],
          ...(role === "client" ? { signal: abort.signal } : {}),
          onError() {},
        });
        await turn();
        await play(peer);
        for (let i = 0; i < 5; i++) await turn();
        if (way === "signal") abort.abort();
        else if (way === "timeout") await clock.advance(10_000);
        else if (way === "shutdown") void ctx.shutdown();
        else conn[way]();
        await conn.closed;
        // Pending reads and writes continue now.
        mayFail(peer.write(utf8("late")), "the other side has closed");
        mayFail(peer.rest(), "the other side has closed");
        for (let i = 0; i < 5; i++) await turn();
        await clock.advance(2000);
        for (let i = 0; i < 5; i++) await turn();
        assertEquals(near.misuses, []);
        assertEquals(near.closes, 1);
        await ctx.shutdown();
      });
    }
  }
}

/** Handshakes that fail, and the errors that are reported. */
const REFUSED: Record<string, {
  play?: (peer: RawPeer<Deno.TcpConn>) => Promise<unknown>;
  time?: number;
  status: number;
  Class: typeof HandshakeError | typeof TimeoutError;
}> = {
  "a bad head": {
    play: (peer) => peer.write("nonsense\r\n\r\n"),
    status: 400,
    Class: HandshakeError,
  },
  "a refused origin": {
    play: (peer) => peer.write(upgradeRequest({ "Origin": "https://bad.example" })),
    status: 403,
    Class: HandshakeError,
  },
  "a head that doesn't come": { time: 10_000, status: 408, Class: TimeoutError },
};

for (const [name, { play, time = 0, status, Class }] of Object.entries(REFUSED)) {
  Deno.test(`${name} is reported at once, although the client doesn't disconnect`, async () => {
    using clock = new VirtualClock();
    const ctx = new Context();
    const told: unknown[] = [];
    const { port } = ctx.listen({
      hostname: "127.0.0.1",
      port: 0,
      origins: ["https://good.example"],
      onHandshakeError: (error) => void told.push(error),
    });
    using peer = await RawPeer.dial(port);
    await play?.(peer);
    if (time > 0) {
      // An armed timer shows that the connection was accepted.
      await until(() => clock.armed > 0);
      await clock.advance(time);
    }
    // The virtual clock doesn't advance.
    await until(() => told.length > 0, "onHandshakeError is called");
    assertInstanceOf(told[0], Class);
    const head = await peer.readHead();
    assert(head.startsWith(`HTTP/1.1 ${status} `), head);
    peer.close();
    await clock.advance(2000);
    await ctx.shutdown();
    assertEquals(told.length, 1);
  });

  Deno.test(`${name} of an adopted stream is reported at once, although the client doesn't disconnect`, async () => {
    using clock = new VirtualClock();
    const ctx = new Context();
    const told: unknown[] = [];
    const [near, far] = MemoryConn.pair();
    const conn = ctx.adopt(near, {
      origins: ["https://good.example"],
      onError: (_, error) => void told.push(error),
    });
    using peer = new RawPeer(far, "client");
    await play?.(peer as unknown as RawPeer<Deno.TcpConn>);
    if (time > 0) await clock.advance(time);
    await until(() => conn.state === "closed", "closed");
    assertEquals(told.length, 1);
    assertInstanceOf(told[0], Class);
    assert((await peer.readHead()).startsWith(`HTTP/1.1 ${status} `));
    await clock.advance(2000);
    assertEquals(near.closes, 1);
    await ctx.shutdown();
  });
}

Deno.test("a shutdown adds nothing to the response of a refused handshake", async () => {
  const ctx = new Context();
  const { port } = ctx.listen({ hostname: "127.0.0.1", port: 0, origins: [] });
  using peer = await RawPeer.dial(port);
  await peer.write(upgradeRequest({ "Origin": "https://bad.example" }));
  assert((await peer.readHead()).startsWith("HTTP/1.1 403 "));
  const over = ctx.shutdown();
  const rest = new TextDecoder().decode(await peer.rest());
  assertEquals(rest, "The origin is not allowed");
  peer.close();
  await over;
});
