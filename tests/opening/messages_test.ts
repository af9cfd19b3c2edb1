/** The error messages for common mistakes. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { ConnectionClosedError, Context, HandshakeError } from "../../mod.ts";
import { ConsoleErrors } from "../support/console_errors.ts";
import { makeCertificates } from "../transport/certificates.ts";

async function iterate(messages: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of messages);
}

Deno.test("the error for iterating over a connection that never opened names the reason", async () => {
  await using ctx = new Context();
  const { url } = ctx.listen({
    hostname: "127.0.0.1",
    onHandshake: () => new Response(null, { status: 401 }),
  });
  const refused = await assertRejects(() => iterate(ctx.connect(url)), ConnectionClosedError);
  assertEquals(
    refused.message,
    `Cannot receive on a connection that never opened: Cannot open ${url}: the server answered 401 Unauthorized`,
  );
  assert(refused.cause instanceof HandshakeError);
  assertEquals(refused.close?.code, 1006);
  const unused = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = unused.addr;
  unused.close();
  const absent = await assertRejects(
    () => ctx.connect(`ws://127.0.0.1:${port}/`).receive(),
    ConnectionClosedError,
  );
  assertMatch(
    absent.message,
    /never opened: Cannot connect to 127\.0\.0\.1:\d+: Connection refused/,
  );
  assert(absent.cause instanceof Deno.errors.ConnectionRefused);
});

Deno.test("the error for iterating over a lost connection contains the close record", async () => {
  await using ctx = new Context();
  const { url } = ctx.listen({ hostname: "127.0.0.1", onConnect: (conn) => conn.terminate() });
  const error = await assertRejects(() => iterate(ctx.connect(url)), ConnectionClosedError);
  assertMatch(error.message, /no close frame received: The connection ended without a close frame/);
});

for (
  const [name, options] of [
    ["onHandshake that throws", {
      onHandshake: () => {
        throw new Error("my mistake");
      },
    }],
    ["onHandshake that rejects", { onHandshake: () => Promise.reject(new Error("my mistake")) }],
    ["origins that throws", {
      origins: () => {
        throw new Error("my mistake");
      },
    }],
    ["selectProtocol that throws", {
      selectProtocol: () => {
        throw new Error("my mistake");
      },
    }],
  ] as const
) {
  Deno.test(`an ${name} is reported to the console, like a failed callback of a connection`, async () => {
    using errors = new ConsoleErrors();
    await using ctx = new Context();
    const headers = { Origin: "https://example.com" };
    const { url } = ctx.listen({ hostname: "127.0.0.1", ...options });
    const conn = ctx.connect(url, { headers, protocols: "chat" });
    const { status } = await assertRejects(() => conn.opened, HandshakeError);
    assertEquals(status, 500);
    assertEquals(
      await errors.next(),
      "A callback of a WebSocket handshake failed: Error: my mistake",
    );
    assertEquals(errors.calls.length, 1);
  });
}

Deno.test("with onHandshakeError nothing is reported to the console, and neither is a refusal with 500", async () => {
  await using ctx = new Context();
  const told = Promise.withResolvers<unknown>();
  using errors = new ConsoleErrors();
  const failing = ctx.listen({
    hostname: "127.0.0.1",
    onHandshake() {
      throw new Error("my mistake");
    },
    onHandshakeError: (error) => told.resolve((error as Error).cause),
  });
  const refusing = ctx.listen({
    hostname: "127.0.0.1",
    onHandshake: () => new Response("on purpose", { status: 500 }),
  });
  for (const { url } of [failing, refusing]) {
    await assertRejects(() => ctx.connect(url).opened, HandshakeError);
  }
  assertEquals(`${await told.promise}`, "Error: my mistake");
  // The listeners have finished their handshakes.
  await ctx.shutdown();
  assertEquals(errors.calls, []);
});

Deno.test("the error for an address that is in use names it", async () => {
  await using ctx = new Context();
  const { port } = ctx.listen({ hostname: "127.0.0.1" });
  const error = assertThrows(
    () => ctx.listen({ hostname: "127.0.0.1", port }),
    Deno.errors.AddrInUse,
    `Cannot listen on 127.0.0.1:${port}: `,
  );
  assert(error.cause instanceof Deno.errors.AddrInUse);
});

Deno.test("the error for the path of a certificate says that its text is needed", async () => {
  await using ctx = new Context();
  const hint = "the text and not the path of its file";
  const tls = { cert: "cert.pem", key: "key.pem" };
  assertThrows(() => ctx.listen({ hostname: "127.0.0.1", tls }), TypeError, hint);
  assertThrows(() => ctx.connect("wss://localhost/", { tls }), TypeError, hint);
  const caCerts = ["ca.pem"];
  assertThrows(() => ctx.connect("wss://localhost/", { tls: { caCerts } }), TypeError, hint);
});

Deno.test("the errors of a client and a server of which only one uses TLS name the right scheme", async () => {
  using certificates = makeCertificates();
  const { cert, key } = certificates.server;
  await using ctx = new Context();
  const secure = ctx.listen({ hostname: "127.0.0.1", tls: { cert, key } });
  const plain = ctx.connect(`ws://127.0.0.1:${secure.port}/`);
  assertMatch((await assertRejects(() => plain.opened, HandshakeError)).message, /: use wss:$/);
  const told = Promise.withResolvers<unknown>();
  const open = ctx.listen({ hostname: "127.0.0.1", onHandshakeError: told.resolve });
  await ctx.connect(`wss://127.0.0.1:${open.port}/`).opened.catch(() => {});
  assertMatch((await told.promise as Error).message, /: use ws:, or listen with tls$/);
});
