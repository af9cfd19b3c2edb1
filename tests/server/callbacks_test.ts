// Every callback of a listener may throw, reject, return a thenable, or never settle.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Context, type HandshakeError, type ListenOptions } from "../../mod.ts";
import { ConsoleErrors } from "../support/console_errors.ts";
import { EventLog } from "../support/event_log.ts";
import { RawPeer, upgradeRequest } from "../support/raw_peer.ts";

// deno-lint-ignore no-explicit-any
type Any = any;

/** Ways to fail, with the status of a handshake that depends on the callback. */
const FAILURES: [name: string, fail: () => Any, status: number][] = [
  ["throws", () => {
    throw new Error("secret");
  }, 500],
  ["rejects", () => Promise.reject(new Error("secret")), 500],
  [
    "returns a thenable that rejects",
    () => ({ then: (_: unknown, reject: (error: Error) => void) => reject(new Error("secret")) }),
    500,
  ],
  ["returns a thenable that throws", () => ({
    then() {
      throw new Error("secret");
    },
  }), 500],
  ["returns an object whose property then throws", () => ({
    get then() {
      throw new Error("secret");
    },
  }), 500],
  ["never settles", () => new Promise(() => {}), 408],
];

for (const [name, fail, status] of FAILURES) {
  for (const callback of ["onHandshake", "selectProtocol", "origins"] as const) {
    Deno.test(`fault 21: ${callback} that ${name} is answered with ${status}`, async () => {
      const ctx = new Context();
      const refused = new EventLog<HandshakeError>();
      const listener = ctx.listen({
        hostname: "127.0.0.1",
        handshakeTimeout: status === 408 ? 30 : 10_000,
        onHandshakeError: (error) => refused.push(error as HandshakeError),
        [callback]: fail,
      });
      using peer = await RawPeer.dial(listener.port);
      await peer.write(
        upgradeRequest({ "Origin": "https://a.example", "Sec-WebSocket-Protocol": "a" }),
      );
      const answer = await peer.response();
      assertEquals(answer.status, status);
      assert(!answer.body.includes("secret"));
      peer.close();
      const error = await refused.next();
      if (status === 500) assertEquals((error.cause as Error).message, "secret");
      listener.close();
      await listener.finished;
      await ctx.shutdown();
    });
  }

  Deno.test(`fault 21: onHandshakeError that ${name} doesn't block other handshakes`, async () => {
    using said = new ConsoleErrors();
    const ctx = new Context();
    const listener = ctx.listen({ hostname: "127.0.0.1", onHandshakeError: fail });
    {
      using peer = await RawPeer.dial(listener.port);
      await peer.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
      assertEquals((await peer.response()).status, 426);
    }
    if (status === 500) assertMatch(await said.next(), /onHandshakeError.*secret/);
    listener.close();
    await listener.finished;
    await ctx.shutdown();
  });

  Deno.test(`fault 21: onShutdown that ${name} is waited for at most until the timeout`, async () => {
    using said = new ConsoleErrors();
    const ctx = new Context();
    ctx.listen({ hostname: "127.0.0.1", onShutdown: fail });
    assertEquals(await ctx.shutdown({ timeout: 30 }), { clean: 0, terminated: 0 });
    if (status === 500) assertMatch(await said.next(), /onShutdown.*secret/);
  });

  Deno.test(`fault 21: onTick that ${name} doesn't end the listener`, async () => {
    using said = new ConsoleErrors();
    await using ctx = new Context();
    const ticked = new EventLog<void>();
    const listener = ctx.listen({
      hostname: "127.0.0.1",
      tickInterval: 1,
      onTick: () => {
        ticked.push();
        return fail();
      },
    });
    await ticked.next();
    if (status === 500) {
      assertMatch(await said.next(), /onTick.*secret/);
      await ticked.next();
    }
    listener.close();
  });
}

Deno.test("fault 21: promises of selectProtocol and of origins are awaited", async () => {
  const options: ListenOptions = {
    hostname: "127.0.0.1",
    selectProtocol: (offered) => Promise.resolve(offered[1]),
    origins: (origin) => Promise.resolve(origin === "https://a.example"),
  };
  await using ctx = new Context();
  const { port } = ctx.listen(options);
  const offer = { "Origin": "https://a.example", "Sec-WebSocket-Protocol": "a, b" };
  {
    using peer = await RawPeer.connect(port, offer);
    assertMatch(peer.head, /Sec-WebSocket-Protocol: b\r\n/);
  }
  using other = await RawPeer.dial(port);
  await other.write(upgradeRequest({ ...offer, "Origin": "https://b.example" }));
  assertEquals((await other.response()).status, 403);
});

Deno.test("fault 25: finished resolves even if onHandshakeError never settles", async () => {
  const ctx = new Context();
  const asked = Promise.withResolvers<void>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    handler: () => new Response(),
    onHandshakeError: () => {
      asked.resolve();
      return new Promise(() => {});
    },
  });
  using peer = await RawPeer.dial(listener.port);
  await peer.write("nonsense\r\n\r\n");
  assertEquals((await peer.response()).status, 400);
  peer.close();
  await asked.promise;
  await ctx.shutdown();
  await listener.finished;
});

/** A body that never ends, and its state. */
function endless(size: number) {
  const cancelled = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      if (size > 0) controller.enqueue(new Uint8Array(size));
      else return new Promise(() => {});
    },
    cancel: () => cancelled.resolve(),
  });
  return { body, cancelled: cancelled.promise };
}

Deno.test("fault 9: a refusal with an endless body is cut at a number of bytes", async () => {
  const { body, cancelled } = endless(1000);
  await using ctx = new Context();
  const refused = new EventLog<HandshakeError>();
  const { port } = ctx.listen({
    hostname: "127.0.0.1",
    onHandshake: () => new Response(body, { status: 401 }),
    onHandshakeError: (error) => refused.push(error as HandshakeError),
  });
  using peer = await RawPeer.dial(port);
  await peer.write(upgradeRequest());
  assertEquals((await peer.response()).status, 500);
  peer.close();
  assertMatch(String((await refused.next()).cause), /more than 65536 bytes/);
  await cancelled;
});

Deno.test("fault 9: a refusal with a stalled body is cut at the handshake's timeout", async () => {
  const { body, cancelled } = endless(0);
  await using ctx = new Context();
  const { port } = ctx.listen({
    hostname: "127.0.0.1",
    handshakeTimeout: 30,
    onHandshake: () => new Response(body, { status: 401 }),
    onHandshakeError: () => {},
  });
  using peer = await RawPeer.dial(port);
  await peer.write(upgradeRequest());
  assertEquals((await peer.response()).status, 408);
  await cancelled;
});
