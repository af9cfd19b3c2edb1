import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { type Connection, Context, type PeerInfo } from "../../mod.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { failure, readToEnd } from "../support/failure.ts";
import { echoing, exercise, ROOM } from "./_exercise.ts";
import { standstill, until } from "../support/until.ts";
import { existsSync } from "node:fs";

const certificates = makeCertificates();
const { ca, server, client } = certificates;
addEventListener("unload", () => certificates[Symbol.dispose]());

Deno.test("wss: certificates are verified by authority and server name, or not at all", async () => {
  await using ctx = new Context();
  const listener = ctx.listen({ port: 0, tls: server, ...echoing() });
  for (
    const [host, tls] of [
      ["localhost", { caCerts: [ca] }],
      ["127.0.0.1", { caCerts: [ca] }],
      ["127.0.0.1", { caCerts: [ca], serverName: "localhost" }],
      ["127.0.0.1", { insecure: true }],
    ] as const
  ) {
    const tlsOptions = { ...tls, caCerts: "caCerts" in tls ? [...tls.caCerts] : undefined };
    await exercise(
      ctx.connect(`wss://${host}:${listener.port}/`, { ...ROOM, tls: tlsOptions }),
    );
  }
});

Deno.test("mutual TLS: the client's certificate is on the connection and in onHandshake", async () => {
  await using ctx = new Context();
  const accepted = Promise.withResolvers<Connection>();
  const asked: PeerInfo[] = [];
  const errors: Error[] = [];
  const listener = ctx.listen({
    port: 0,
    tls: { ...server, clientCaCerts: ca },
    ...echoing(),
    onConnect: (conn) => accepted.resolve(conn),
    onHandshake: (_request, info) => void asked.push(info),
    onHandshakeError: (error) => void errors.push(error as Error),
  });
  const url = `wss://localhost:${listener.port}/`;
  const conn = ctx.connect(url, { ...ROOM, tls: { caCerts: [ca], ...client } });
  assertEquals((await accepted.promise).peerCertificate?.subject, { CN: "alice" });
  assertEquals(asked[0].peerCertificate?.subject, { CN: "alice" });
  assertEquals(conn.peerCertificate, null);
  await exercise(conn);
  const { strangeClient, expiredClient } = certificates;
  for (
    const [pair, reason] of [[{}, /no certificate/], [strangeClient, /unknown issuer/], [
      expiredClient,
      /expired/,
    ]] as const
  ) {
    const refused = ctx.connect(url, { tls: { caCerts: [ca], ...pair } });
    await failure(refused.opened);
    await until(() => errors.length > 0);
    assertMatch(errors.pop()!.message, reason);
  }
  const anonymous = ctx.connect(url, { tls: { caCerts: [ca] } });
  assertMatch((await failure(anonymous.opened)).message, /requires a client certificate/);
});

Deno.test("the errors for plain text on a TLS port, and for TLS on a plain port, name the mistake", async () => {
  await using ctx = new Context();
  const errors: Error[] = [];
  const onHandshakeError = (error: unknown) => void errors.push(error as Error);
  const secure = ctx.listen({ port: 0, tls: server, onHandshakeError });
  await failure(ctx.connect(`ws://127.0.0.1:${secure.port}/`).opened);
  await until(() => errors.length > 0);
  assertMatch(errors.pop()!.message, /doesn't speak TLS/);
  const plain = ctx.listen({ port: 0, onHandshakeError });
  const error = await failure(ctx.connect(`wss://127.0.0.1:${plain.port}/`).opened);
  assertMatch(error.message, /over TLS: the peer doesn't speak TLS/);
});

Deno.test("a paused wss reader stops its peer", async () => {
  await using ctx = new Context({ tls: { caCerts: [ca] } });
  const accepted = Promise.withResolvers<Connection>();
  const listener = ctx.listen({
    port: 0,
    tls: server,
    ...ROOM,
    onConnect: (conn) => accepted.resolve(conn),
    onMessage: () => {},
  });
  const conn = ctx.connect(`wss://localhost:${listener.port}/`, ROOM);
  await conn.opened;
  const far = await accepted.promise;
  far.pause();
  const chunk = new Uint8Array(64 * 1024);
  for (let i = 0; i < 500; i++) conn.send(chunk);
  const waiting = await standstill(() => conn.queuedBytes);
  assert(waiting > 8 << 20, `only ${waiting} bytes are queued`);
  far.resume();
  await conn.drained();
});

Deno.test("connectTimeout ends a hanging TLS handshake, and closes its connection", async () => {
  await using ctx = new Context();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const conn = ctx.connect(`wss://127.0.0.1:${listener.addr.port}/`, { connectTimeout: 50 });
  const accepted = await listener.accept();
  assertMatch((await failure(conn.opened)).message, /negotiating TLS/);
  await readToEnd(accepted);
  accepted.close();
});

Deno.test("Unix sockets work without and with TLS, and replace stale files only", async () => {
  await using ctx = new Context();
  const dir = await Deno.makeTempDir();
  const path = `${dir}/socket`;
  const listener = ctx.listen({ unix: path, ...echoing() });
  assertEquals([listener.unix, listener.port, listener.hostname], [path, 0, ""]);
  const conn = ctx.connect("ws://localhost/chat", { ...ROOM, unix: path });
  await conn.opened;
  assertEquals(conn.remoteAddress, { transport: "unix", path });
  await exercise(conn);
  assertThrows(() => ctx.listen({ unix: path }), Deno.errors.AddrInUse, "a process is listening");
  listener.close();
  // The runtime removes the file when the pending accept has ended.
  await until(() => !existsSync(path));
  await Deno.writeTextFile(path, "not a socket");
  assertThrows(() => ctx.listen({ unix: path }), Deno.errors.AddrInUse, "isn't a socket");
  await Deno.remove(path);
  // A killed process leaves its file.
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      `Deno.listen({ transport: "unix", path: ${
        JSON.stringify(path)
      } }); console.log(1); setInterval(() => {}, 1000)`,
    ],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();
  assert(Deno.lstatSync(path).isSocket);
  const again = ctx.listen({ unix: path, tls: server, ...echoing() });
  await exercise(
    ctx.connect("wss://localhost/", { ...ROOM, unix: path, tls: { caCerts: [ca] } }),
  );
  await again.shutdown();
  assertThrows(() => ctx.listen({ unix: path, port: 1 }), TypeError, "give one of them");
  assertThrows(() => ctx.listen({ unix: "" }), TypeError, "use the path of a Unix socket");
  assertThrows(
    () => ctx.connect("ws://x/", { unix: "" }),
    TypeError,
    "use the path of a Unix socket",
  );
  const missing = await failure(ctx.connect("ws://x/", { unix: `${dir}/none` }).opened);
  assert(missing instanceof Deno.errors.NotFound);
  await Deno.remove(dir, { recursive: true });
});
