// A shutdown resolves by its timeout, whatever callbacks, handlers and peers do, and reports what was cut.
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { type Connection, Context, InvalidStateError, type ListenOptions } from "../../mod.ts";
import { CLOSE, readClose } from "../support/frames.ts";
import { RawPeer, upgradeRequest } from "../support/raw_peer.ts";
import { until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual_clock.ts";

const REQUEST = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/** A server with an ordinary request in progress. */
async function busy(handler: ListenOptions["handler"], options: ListenOptions = {}) {
  const ctx = new Context();
  const asked = Promise.withResolvers<Request>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    handler: (request, info) => {
      asked.resolve(request);
      return handler!(request, info);
    },
    ...options,
  });
  const peer = await RawPeer.dial(listener.port);
  await peer.write(REQUEST);
  return {
    ctx,
    listener,
    peer,
    request: await asked.promise,
    [Symbol.dispose]: () => peer.close(),
  };
}

const never = () => new Promise<never>(() => {});

for (const whose of ["context", "listener"] as const) {
  Deno.test(`fault 23: a handler that never settles is cut at the timeout of the ${whose}`, async () => {
    using on = await busy(never);
    const result = await (whose === "context" ? on.ctx : on.listener).shutdown({ timeout: 30 });
    assertEquals(result, { clean: 0, terminated: 1 });
    assert(on.request.signal.aborted);
    await on.listener.finished;
    assertEquals((await on.peer.rest()).length, 0);
  });
}

Deno.test("fault 23: a shutdown doesn't wait for the timeout if the client of such a handler has disconnected", async () => {
  using on = await busy(never);
  on.peer.close();
  assertEquals(await on.ctx.shutdown({ timeout: 600_000 }), { clean: 0, terminated: 0 });
});

Deno.test("fault 23: await ctx.shutdown() in a handler resolves at the timeout", async () => {
  const result = Promise.withResolvers<unknown>();
  const ctx: Context = new Context();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    handler: async () => {
      result.resolve(await ctx.shutdown({ timeout: 30 }));
      return new Response("too late");
    },
  });
  using peer = await RawPeer.dial(listener.port);
  await peer.write(REQUEST);
  assertEquals(await result.promise, { clean: 0, terminated: 1 });
  assertEquals((await peer.rest()).length, 0);
});

Deno.test("fault 23: an endless response is cut at the timeout, and its source is cancelled", async () => {
  const cancelled = Promise.withResolvers<void>();
  using on = await busy(() =>
    new Response(new ReadableStream({ cancel: () => cancelled.resolve() }))
  );
  await on.peer.readHead();
  assertEquals(await on.ctx.shutdown({ timeout: 30 }), { clean: 0, terminated: 1 });
  await cancelled.promise;
});

Deno.test("a response within the timeout is sent, and the shutdown then ends at once", async () => {
  const gate = Promise.withResolvers<void>();
  using on = await busy(async () => {
    await gate.promise;
    return new Response("in time");
  });
  const shutdown = on.ctx.shutdown({ timeout: 600_000 });
  gate.resolve();
  const { head, body } = await on.peer.response();
  assertMatch(head, /\r\nconnection: close\r\n/i);
  assertEquals(body, "in time");
  on.peer.close();
  assertEquals(await shutdown, { clean: 0, terminated: 0 });
});

for (
  const [name, options] of [
    ["onMessage that never settles", { onMessage: never }],
    ["onConnect that never settles", { onConnect: never }],
    ["a paused connection", { onMessage: (conn: Connection) => conn.pause() }],
    ["onShutdown that never settles", { onShutdown: never, onMessage: () => {} }],
    ["onClose that never settles", { onClose: never, onMessage: () => {} }],
  ] as [string, ListenOptions][]
) {
  Deno.test(`fault 23: shutdown with ${name} ends at the timeout`, async () => {
    const ctx = new Context();
    const listener = ctx.listen({ hostname: "127.0.0.1", ...options });
    using peer = await RawPeer.connect(listener.port);
    await peer.send(1, "a");
    await peer.send(1, "b");
    await until(() => ctx.connections.size === 1);
    const { clean, terminated } = await ctx.shutdown({ timeout: 50 });
    assertEquals(clean + terminated, 1);
  });
}

for (const timeout of [Infinity, 2 ** 31, 2 ** 40]) {
  Deno.test(`fault 24: shutdown with the timeout ${timeout} waits`, async () => {
    using clock = new VirtualClock();
    const gate = Promise.withResolvers<void>();
    using on = await busy(async () => {
      await gate.promise;
      return new Response("waited for");
    });
    let isDone = false;
    const shutdown = on.ctx.shutdown({ timeout }).finally(() => isDone = true);
    await clock.advance(3_600_000);
    assert(!isDone);
    gate.resolve();
    assertEquals((await on.peer.response()).body, "waited for");
    on.peer.close();
    assertEquals(await shutdown, { clean: 0, terminated: 0 });
  });
}

Deno.test("shutdown with the timeout 0 terminates at once", async () => {
  using on = await busy(never, { onMessage: never });
  using peer = await RawPeer.connect(on.listener.port);
  await peer.send(1, "a");
  assertEquals(await on.ctx.shutdown({ timeout: 0 }), { clean: 0, terminated: 2 });
  await on.listener.finished;
});

/** Listens with sockets whose writes go through a function. */
function listenOver(
  ctx: Context,
  write: (conn: Deno.Conn, bytes: Uint8Array) => Promise<number>,
  options: ListenOptions = {},
): number {
  const real = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  ctx.listen({
    ...options,
    listener: {
      addr: real.addr,
      accept: async () => {
        const conn = await real.accept();
        return {
          remoteAddr: conn.remoteAddr,
          localAddr: conn.localAddr,
          read: (into: Uint8Array) => conn.read(into),
          write: (bytes: Uint8Array) => write(conn, bytes),
          closeWrite: () => conn.closeWrite(),
          close: () => conn.close(),
        };
      },
      close: () => real.close(),
    } as unknown as Deno.Listener,
  });
  return real.addr.port;
}

/** The handshake of a peer succeeds, and the connection is closed with 1001. */
async function acceptedAndClosed(peer: RawPeer): Promise<void> {
  assertMatch(await peer.readHead(), /^HTTP\/1\.1 101 /);
  assertEquals(readClose((await peer.next(CLOSE)).payload).code, 1001);
  await peer.sendClose(1001);
}

Deno.test("a handshake whose 101 is being written becomes a connection that is closed with 1001", async () => {
  const writing = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const ctx = new Context();
  const port = listenOver(ctx, async (conn, bytes) => {
    writing.resolve();
    await gate.promise;
    return await conn.write(bytes);
  });
  using peer = await RawPeer.dial(port);
  await peer.write(upgradeRequest());
  await writing.promise;
  const shutdown = ctx.shutdown({ timeout: 600_000 });
  gate.resolve();
  await acceptedAndClosed(peer);
  assertEquals(await shutdown, { clean: 1, terminated: 0 });
});

Deno.test("a shutdown in the call that writes the 101 closes the connection with 1001", async () => {
  const ctx = new Context();
  let shutdown: Promise<unknown> | undefined;
  const port = listenOver(ctx, (conn, bytes) => {
    shutdown ??= ctx.shutdown({ timeout: 600_000 });
    return conn.write(bytes);
  });
  using peer = await RawPeer.dial(port);
  await peer.write(upgradeRequest());
  await acceptedAndClosed(peer);
  assertEquals(await shutdown, { clean: 1, terminated: 0 });
});

Deno.test("a socket that throws instead of writing the 101 leaves nothing behind", async () => {
  const ctx = new Context();
  const errors: unknown[] = [];
  const port = listenOver(ctx, () => {
    throw new Deno.errors.BrokenPipe("gone");
  }, { onHandshakeError: (error) => errors.push(error) });
  using peer = await RawPeer.dial(port);
  await peer.write(upgradeRequest());
  assertEquals((await peer.rest()).length, 0);
  assertMatch(String(errors), /gone/);
  assertEquals(await ctx.shutdown({ timeout: 600_000 }), { clean: 0, terminated: 0 });
});

Deno.test("a listener is finished when its owner closes the socket", async () => {
  await using ctx = new Context();
  const bound = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const listener = ctx.listen({ listener: bound });
  using _peer = await RawPeer.connect(bound.addr.port);
  bound.close();
  const [conn] = ctx.connections;
  assertEquals(conn.state, "open");
  conn.terminate();
  await listener.finished;
});

Deno.test("a refused handshake with a silent peer doesn't delay the shutdown", async () => {
  const ctx = new Context();
  const listener = ctx.listen({ hostname: "127.0.0.1", onHandshakeError: () => {} });
  using silent = await RawPeer.dial(listener.port);
  await silent.write("GET / HTTP/1.1\r\n");
  using open = await RawPeer.connect(listener.port);
  const shutdown = ctx.shutdown({ timeout: 600_000 });
  assertEquals(readClose((await open.next(CLOSE)).payload).code, 1001);
  await open.sendClose(1001);
  // The silent peer hasn't closed its direction.
  assertEquals(await shutdown, { clean: 1, terminated: 0 });
  assertMatch(await silent.readHead(), /^HTTP\/1\.1 503 /);
});

Deno.test("a listener that is shut down during the shutdown of its context ends with it", async () => {
  const ctx = new Context();
  let own: Promise<unknown> | undefined;
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    onShutdown: () => void (own = listener.shutdown({ timeout: 600_000 })),
  });
  using peer = await RawPeer.connect(listener.port);
  const all = ctx.shutdown({ timeout: 600_000 });
  await peer.next(CLOSE);
  await peer.sendClose(1001);
  assertEquals(await all, { clean: 1, terminated: 0 });
  assertEquals(await own, { clean: 1, terminated: 0 });
  assertThrows(() => ctx.listen(), InvalidStateError);
});
