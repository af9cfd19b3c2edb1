import { assert, assertEquals, assertMatch } from "@std/assert";
import { Context, type HandshakeError } from "../../mod.ts";
import { runExample, serveExample } from "../support/example.ts";
import { makeCertificates } from "../transport/certificates.ts";

Deno.test("examples/http2.ts: three WebSockets share a connection, and pausing one doesn't affect the others", async () => {
  using certificates = makeCertificates();
  const { dir } = certificates;
  const files = ["--cert", "server.pem", "--key", "server.key", "--ca", "ca.pem"];
  const args = files.map((name) => name.startsWith("--") ? name : `${dir}/${name}`);
  const { code, stdout, stderr } = await runExample("http2", ...args);
  assertEquals(code, 0, stderr);
  const [one, two, three, said, older] = stdout.split("\n");
  assertMatch(one, /^HTTP\/2, by the connection from port \d+$/);
  assertEquals([two, three], [one, one]);
  assertEquals(said, "a paused WebSocket doesn't affect the others");
  assertMatch(older, /^HTTP\/1\.1, by the connection from port \d+$/);
  assert(older.split(" ").at(-1) !== one.split(" ").at(-1));
});

Deno.test("examples/hono_server.ts: rooms work behind a middleware", async () => {
  await using server = await serveExample("hono_server");
  const root = new URL(server.url.replace("ws:", "http:"));
  assertEquals(await (await fetch(root)).text(), "0 connections\n");

  await using ctx = new Context();
  const headers = { Authorization: "Bearer s3cret" };
  const room = (name: string) => new URL(`/rooms/${name}`, server.url);
  const stranger = ctx.connect(room("blue"), { onError: () => {} });
  const { status } = await stranger.opened.catch((error: HandshakeError) => error) as {
    status: number;
  };
  assertEquals(status, 401);

  const [ann, bob, eve] = ["blue", "blue", "red"].map((name) =>
    ctx.connect(room(name), { headers, compression: true })
  );
  await Promise.all([ann, bob, eve].map((conn) => conn.opened));
  assertMatch(ann.extensions, /^permessage-deflate/);
  ann.send("hello");
  assertEquals(await bob.receive(), "hello");
  // Bob's answer comes after any other message that Ann may get.
  bob.send("hello, Ann");
  assertEquals(await ann.receive(), "hello, Ann");
  eve.close();
  for await (const message of eve) throw new Error(`Heard in another room: ${message}`);
});

Deno.test({
  name:
    "examples/system_sockets.ts: with small buffers, unsent bytes are in the queue of the program",
  ignore: Deno.build.os !== "linux" || Deno.build.arch !== "x86_64",
  fn: async () => {
    const { code, stdout, stderr } = await runExample("system_sockets");
    assertEquals(code, 0, stderr);
    const [denos, systems] = stdout.split("system sockets with small buffers:");
    const queued = (text: string) => Number(/in the queue, of 8388608 bytes: (\d+)/.exec(text)![1]);
    assert(queued(systems) > queued(denos), stdout);
    assertMatch(denos, /not acknowledged: unknown/);
    assert(Number(/not acknowledged: (\d+)/.exec(systems)![1]) < 1024 * 1024, stdout);
  },
});
