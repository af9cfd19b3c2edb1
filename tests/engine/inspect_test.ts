/** The output of `console.log` and `Deno.inspect` for a context, its listeners and connections. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { inspect } from "node:util";
import { Context } from "../../mod.ts";
import { until } from "../support/until.ts";

Deno.test("inspect: a connection shows its peer, age, state, queue, holds and round trip", async () => {
  await using ctx = new Context({ keepAlive: false });
  const listener = ctx.listen({ hostname: "127.0.0.1", onMessage: () => {} });
  const client = ctx.connect(`${listener.url}chat`, { onMessage: () => {} });
  assertMatch(
    Deno.inspect(client),
    /^Connection \{ client, connecting for \d\.\d s, ws:\/\/127\.0\.0\.1:\d+\/chat, queue 0 messages \(0 bytes\) \}$/,
  );
  await client.opened;
  await until(() => listener.connections.size === 1);
  const [server] = listener.connections;
  const address = client.localAddress as Deno.NetAddr;
  assertMatch(
    Deno.inspect(server),
    new RegExp(
      `^Connection \\{ server, open for \\d\\.\\d s, peer 127\\.0\\.0\\.1:${address.port}, ` +
        `ws://127\\.0\\.0\\.1:${listener.port}/chat, queue 0 messages \\(0 bytes\\) \\}$`,
    ),
  );
  await server.ping();
  assertMatch(Deno.inspect(server), /, round trip \d+\.\d ms \}$/);
  server.subscribe("news");
  assert(Deno.inspect(server).includes(", 1 topic,"));
  server.pause();
  client.send("one");
  client.send("two");
  await until(() => Deno.inspect(server).includes("2 messages waiting"));
  assert(Deno.inspect(server).includes("held: pause() was called, 2 messages waiting"));
  server.pauseSending();
  server.send("x".repeat(1500));
  assert(
    Deno.inspect(server).includes(
      "queue 1 message (1,500 bytes), sending held: pauseSending() was called",
    ),
  );
  assertEquals(inspect(server), Deno.inspect(server), "node:util must show the same");
  assert(Deno.inspect([server]).includes("Connection { server, open for"));
  client.close(3001, "enough");
  await client.closed;
  assertMatch(
    Deno.inspect(client),
    /^Connection \{ client, closed: sent 3001 .*"enough"; received /,
  );
});

Deno.test("inspect: an iterator that isn't advanced holds the connection, one that waits for a message doesn't", async () => {
  await using ctx = new Context();
  const listener = ctx.listen({ hostname: "127.0.0.1" });
  const client = ctx.connect(listener.url);
  await client.opened;
  assert(Deno.inspect(client).includes("held: no message is asked for"));
  const message = client.receive();
  assert(!Deno.inspect(client).includes("held"));
  ctx.broadcast("hello");
  assertEquals(await message, "hello");
});

Deno.test("inspect: query, headers and data aren't shown, and control characters are escaped", async () => {
  await using ctx = new Context({ data: { password: "secret" } });
  const listener = ctx.listen({ hostname: "127.0.0.1" });
  const client = ctx.connect(`${listener.url}?token=secret`, {
    headers: { authorization: "Bearer secret", cookie: "id=secret" },
  });
  await client.opened;
  await until(() => listener.connections.size === 1);
  for (const conn of ctx.connections) {
    const text = Deno.inspect(conn);
    assert(!text.includes("secret"), text);
    assert(text.includes("/?…"), text);
  }
  const long = ctx.connect(`${listener.url}${"a".repeat(1000)}`);
  await long.opened;
  assert(Deno.inspect(long).length < 400, Deno.inspect(long));
  client.close(3000, "\x1b[2J\n");
  await client.closed;
  assert(!/\p{Cc}/u.test(Deno.inspect(client)), JSON.stringify(Deno.inspect(client)));
});

Deno.test("inspect: a close record is shown as a sentence, a context as a count, and copies have their fields", async () => {
  const ctx = new Context();
  const listener = ctx.listen({ hostname: "127.0.0.1" });
  const client = ctx.connect(listener.url);
  await client.opened;
  assertEquals(Deno.inspect(ctx), `Context { 2 connections, 0 connecting, 1 listener }`);
  assertEquals(Deno.inspect(listener), `Listener { ${listener.url}, 1 connection, 0 handshakes }`);
  client.close();
  const close = await client.closed;
  assertEquals(Deno.inspect(close), `CloseRecord { 1000: ${close} }`);
  const { code, wasClean, initiator } = { ...close };
  assertEquals({ code, wasClean, initiator }, {
    code: 1000,
    wasClean: true,
    initiator: "local",
  });
  await ctx.shutdown();
  assertMatch(Deno.inspect(listener), /, 0 connections, 0 handshakes, accepts no more \}$/);
  assertMatch(Deno.inspect(ctx), /^Context \{ 0 connections, .*, shut down \}$/);
});

Deno.test("inspect: a loop over the connections makes a debug page", async () => {
  await using ctx = new Context();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    handler: () => new Response([...ctx.connections].map((conn) => Deno.inspect(conn)).join("\n")),
  });
  const client = ctx.connect(listener.url);
  await client.opened;
  await until(() => ctx.connections.size === 2);
  const page = await (await fetch(listener.url.replace("ws:", "http:"))).text();
  assertEquals(page.split("\n").length, 2);
  assertMatch(page, /^Connection \{ (client|server), open for /);
});
