/** `listener.setTls`, and the resumption of TLS sessions, whose tickets are valid in the whole process. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { type Connection, Context, type Listener } from "../../mod.ts";
import { until } from "../support/until.ts";
import { makeCertificates } from "./certificates.ts";
import { mayFail } from "../support/failure.ts";

const certificates = makeCertificates();
const { ca, server, stranger, elsewhere, client, strangeClient, dir } = certificates;
const otherCa = Deno.readTextFileSync(`${dir}/unknown-ca.pem`);
const tls = { caCerts: [ca, otherCa] };
addEventListener("unload", () => certificates[Symbol.dispose]());

const urlOf = (listener: Listener) => listener.url.replace("127.0.0.1", "localhost");

interface Visit {
  /** The issuer of the server's certificate. */
  readonly issuer: string | undefined;
  readonly resumed: boolean;
  /** The server's response; `undefined` if the client was refused. */
  readonly answer: string | undefined;
}

/** Sends an HTTP request with `openssl s_client`. */
async function visit(listener: Listener, ...args: string[]): Promise<Visit> {
  const child = new Deno.Command("openssl", {
    args: ["s_client", "-connect", `127.0.0.1:${listener.port}`, "-ign_eof", ...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  const request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  await mayFail(writer.write(new TextEncoder().encode(request)), "the refusal may come first");
  await mayFail(writer.close(), "the refusal may come first");
  const text = new TextDecoder().decode((await child.output()).stdout);
  return {
    issuer: /issuer=.*?CN ?= ?(\S+)/.exec(text)?.[1],
    resumed: /^Reused/m.test(text),
    answer: /seen=(\w*);/.exec(text)?.[1],
  };
}

for (const mutual of [false, true]) {
  const authorities = mutual ? [{ clientCaCerts: [ca, otherCa] }, { clientCaCerts: ca }] : [{}, {}];
  const before = { ...server, ...authorities[0] }, after = { ...stranger, ...authorities[1] };
  const own = mutual ? client : {};
  const name = `setTls: 100 swaps under load lose no connection and no handshake${
    mutual ? ", with mutual TLS" : ""
  }`;
  Deno.test(name, async () => {
    await using ctx = new Context({ keepAlive: false });
    const errors: unknown[] = [];
    const listener = ctx.listen({
      hostname: "127.0.0.1",
      tls: before,
      onMessage: (conn, data) => void conn.send(data),
      onHandshakeError: (error) => errors.push(error),
    });
    const url = urlOf(listener);
    const echo = async (conn: Connection, text: string) => {
      conn.send(text);
      assertEquals(await conn.receive(), text);
    };
    const open = await Promise.all(Array.from({ length: 5 }, async () => {
      const conn = ctx.connect(url, { tls: { ...tls, ...own } });
      await conn.opened;
      return conn;
    }));
    let swaps = 0, handshakes = 0;
    const visitor = async () => {
      while (swaps < 100) {
        const conn = ctx.connect(url, { tls: { ...tls, ...own } });
        // During other handshakes, and during this one.
        listener.setTls(++swaps % 2 === 0 ? before : after);
        await conn.opened;
        handshakes++;
        await echo(conn, `visit ${handshakes}`);
        conn.close();
        await conn.closed;
      }
    };
    const resident = async (conn: Connection) => {
      for (let i = 0; swaps < 100; i++) await echo(conn, `resident ${i}`);
      await echo(conn, "still here");
    };
    await Promise.all([...Array.from({ length: 4 }, visitor), ...open.map(resident)]);
    assertEquals(errors, []);
    assert(swaps >= 100 && handshakes === swaps, `${swaps} swaps, ${handshakes} handshakes`);
    assertEquals(open.map(({ state }) => state), Array(5).fill("open"));
  });
}

Deno.test("setTls: new handshakes get the new certificate; after invalid arguments the old one stays", async () => {
  await using ctx = new Context();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    tls: server,
    handler: () => new Response("seen=;"),
  });
  assertEquals((await visit(listener)).issuer, "ca");
  listener.setTls(stranger);
  assertEquals((await visit(listener)).issuer, "unknown-ca");
  for (
    const [rubbish, said] of [
      [{ cert: "x", key: server.key }, "Cannot set TLS with tls.cert"],
      [{ cert: server.cert, key: "x" }, "Cannot set TLS with tls.key"],
      [{ cert: server.cert, key: elsewhere.key }, "Cannot set TLS with tls.key of another"],
      [{ cert: server.cert }, "Cannot set TLS with tls.key"],
      [{}, "Cannot set TLS with tls.cert"],
      [undefined, "Cannot set TLS with tls undefined"],
      [null, "Cannot set TLS with tls null"],
      [{ ...server, clientCaCerts: [] }, "Cannot set TLS with tls.clientCaCerts"],
      [{ ...server, clientCaCerts: "x" }, "Cannot set TLS with tls.clientCaCerts"],
      [{ ...server, resolve: 1 }, "Cannot set TLS with tls with resolve"],
    ] as const
  ) {
    assertThrows(() => listener.setTls(rubbish as never), TypeError, said);
  }
  assertEquals((await visit(listener)).issuer, "unknown-ca");
  // All options are replaced, also the function `resolve`.
  listener.setTls({ resolve: (name) => name === "localhost" ? server : undefined });
  assertEquals((await visit(listener, "-servername", "localhost")).issuer, "ca");
  assertEquals((await visit(listener, "-servername", "other.example")).issuer, undefined);
  listener.setTls(stranger);
  assertEquals((await visit(listener, "-servername", "other.example")).issuer, "unknown-ca");
});

Deno.test("setTls throws on a listener without TLS", async () => {
  await using ctx = new Context();
  const listener = ctx.listen({ hostname: "127.0.0.1" });
  assertThrows(() => listener.setTls(server), TypeError, "made without tls");
});

Deno.test("setTls: mutual TLS can be added, changed and removed, and open connections stay open", async () => {
  await using ctx = new Context({ keepAlive: false });
  const errors: string[] = [];
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    tls: server,
    onMessage: (conn, data) => void conn.send(data),
    onHandshakeError: (error) => errors.push((error as Error).message),
  });
  const connect = (more: object = {}) => ctx.connect(urlOf(listener), { tls: { ...tls, ...more } });
  const bare = connect();
  await bare.opened;
  listener.setTls({ ...server, clientCaCerts: ca });
  await assertRejects(() => connect().opened);
  const alice = connect(client);
  await alice.opened;
  listener.setTls({ ...server, clientCaCerts: otherCa });
  await assertRejects(() => connect(client).opened);
  const mallory = connect(strangeClient);
  await mallory.opened;
  listener.setTls(server);
  const last = connect();
  await last.opened;
  for (const conn of [bare, alice, mallory, last]) {
    conn.send("hello");
    assertEquals(await conn.receive(), "hello");
  }
  await until(() => errors.length === 2);
});

for (const version of ["-tls1_2", "-tls1_3"]) {
  const session = `${dir}/session${version}`;
  const alice = ["-cert", `${dir}/client.pem`, "-key", `${dir}/client.key`];
  const serve = (ctx: Context, more: object, errors: unknown[] = []) =>
    ctx.listen({
      hostname: "127.0.0.1",
      tls: { ...server, ...more },
      handler: (_, { peerCertificate }) => new Response(`seen=${peerCertificate?.subject.CN};`),
      onHandshakeError: (error) => errors.push((error as Error).message),
    });

  Deno.test(`a TLS session is resumed (${version})`, async () => {
    await using ctx = new Context();
    const listener = serve(ctx, {});
    const first = await visit(listener, version, "-sess_out", session);
    assertEquals([first.resumed, first.answer], [false, "undefined"]);
    const second = await visit(listener, version, "-sess_in", session);
    assertEquals([second.resumed, second.answer], [true, "undefined"]);
  });

  Deno.test(`a resumed session has its client's certificate, which is verified again (${version})`, async () => {
    await using ctx = new Context();
    const errors: string[] = [];
    const listener = serve(ctx, { clientCaCerts: ca }, errors);
    const first = await visit(listener, version, "-sess_out", session, ...alice);
    assertEquals([first.resumed, first.answer], [false, "alice"]);
    // Without sending the certificate again.
    const resume = [version, "-sess_in", session];
    const second = await visit(listener, ...resume);
    assertEquals([second.resumed, second.answer], [true, "alice"]);
    // The old authority together with a new one; then only the new one.
    listener.setTls({ ...server, clientCaCerts: `${otherCa}\n${ca}` });
    assertEquals((await visit(listener, ...resume)).answer, "alice");
    listener.setTls({ ...server, clientCaCerts: otherCa });
    assertEquals((await visit(listener, ...resume)).answer, undefined);
    await until(() => errors.length === 1);
    assertMatch(errors[0], /the client's certificate wasn't accepted/);
  });

  Deno.test(`a session of one listener isn't accepted by another one with other authorities (${version})`, async () => {
    await using ctx = new Context();
    const strict = serve(ctx, { clientCaCerts: otherCa });
    for (
      const [from, args] of [[serve(ctx, {}), []], [
        serve(ctx, { clientCaCerts: ca }),
        alice,
      ]] as const
    ) {
      await visit(from, version, "-sess_out", session, ...args);
      assertEquals((await visit(strict, version, "-sess_in", session)).answer, undefined);
    }
  });
}
