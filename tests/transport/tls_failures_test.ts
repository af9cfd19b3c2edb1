import { assert, assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { X509Certificate } from "node:crypto";
import { type CloseRecord, type Connection, Context, HandshakeError } from "../../mod.ts";
import { checkServerIdentity } from "../../src/transport/server_identity.ts";
import { failure, readToEnd } from "../support/failure.ts";
import { makeCertificates } from "./certificates.ts";
import { type Direction, Relay } from "./relay.ts";

const certificates = makeCertificates();
const { ca, server } = certificates;
addEventListener("unload", () => certificates[Symbol.dispose]());

const ALERT = 24; // bytes of an encrypted alert, its header included

/** The close records of both ends of a connection after a record was tampered with. */
interface Ends {
  /** The end that has received the record. */
  victim: CloseRecord;
  victimErrors: Error[];
  /** The end that has sent the record. */
  other: CloseRecord;
}

/** Tampers with a wss connection on its way to one end. */
async function tampered(
  towards: "server" | "client",
  tamper: (relay: Relay, direction: Direction, other: Connection) => Promise<void> | void,
): Promise<Ends> {
  await using ctx = new Context({ keepAlive: false });
  const accepted = Promise.withResolvers<Connection>();
  const errors = { server: [] as Error[], client: [] as Error[] };
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    tls: server,
    onConnect: (conn) => accepted.resolve(conn),
    onError: (_conn, error) => void errors.server.push(error as Error),
  });
  using relay = new Relay(listener.port);
  const client = ctx.connect(`wss://localhost:${relay.port}/`, {
    tls: { caCerts: [ca] },
    onError: (_conn, error) => void errors.client.push(error as Error),
  });
  await client.opened;
  const far = await accepted.promise;
  const victim = towards === "server" ? far : client;
  const other = towards === "server" ? client : far;
  const back = towards === "server" ? "down" : "up";
  // After a message in each direction, all bytes of the handshake have passed.
  far.send("x");
  client.send("x");
  await Promise.all([far.receive(), client.receive()]);
  relay.forget();
  await tamper(relay, towards === "server" ? "up" : "down", other);
  const record = await victim.closed;
  // RFC 8446 6.2: the alert is sent, and the connection is closed whatever the other end does.
  await relay.ended(back);
  assertEquals(relay.passed(back).length, ALERT);
  return { victim: record, victimErrors: errors[towards], other: await other.closed };
}

for (const towards of ["server", "client"] as const) {
  Deno.test(`faults 50, 65: a record to the ${towards} that can't be decrypted fails both ends with the cause`, async () => {
    const { victim, victimErrors, other } = await tampered(towards, (relay, direction, other) => {
      relay.change = (passing, bytes) => {
        if (passing === direction) bytes[bytes.length - 1] ^= 1;
        return bytes;
      };
      other.send("spoilt");
    });
    const cause = victim.cause as Error;
    assertEquals(cause.message, "TLS failed: the received data could not be decrypted");
    assertEquals([victim.code, victim.wasClean, victimErrors], [1006, false, [cause]]);
    assertEquals(
      (other.cause as Error).message,
      "TLS failed: the peer could not decrypt the received data",
    );
  });

  Deno.test(`faults 50, 65: bytes to the ${towards} that aren't a TLS record fail both ends with the cause`, async () => {
    const { victim, victimErrors } = await tampered(
      towards,
      (relay, direction) =>
        relay.inject(direction, new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n")),
    );
    const cause = victim.cause as Error;
    assertEquals(cause.message, "TLS failed: the received data is not a TLS record");
    assertEquals([victim.code, victimErrors], [1006, [cause]]);
  });
}

Deno.test("fault 50: both sides name a plain-text client on a TLS port", async () => {
  await using ctx = new Context();
  const { promise, resolve } = Promise.withResolvers<Error>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    tls: server,
    onHandshakeError: (error) => resolve(error as Error),
  });
  const refused = await failure(ctx.connect(`ws://127.0.0.1:${listener.port}/`).opened);
  assertInstanceOf(refused, HandshakeError);
  assertMatch(
    refused.message,
    /^Cannot open ws:.*: TLS was received where HTTP was expected: use wss:$/,
  );
  assertEquals((await promise).message, "TLS handshake failed: the peer doesn't speak TLS");
});

Deno.test("fault 50: both sides name a TLS client on a plain port", async () => {
  await using ctx = new Context();
  const { promise, resolve } = Promise.withResolvers<Error>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    onHandshakeError: (error) => resolve(error as Error),
  });
  const refused = await failure(ctx.connect(`wss://127.0.0.1:${listener.port}/`).opened);
  assertInstanceOf(refused, HandshakeError);
  assertEquals(
    refused.message,
    "Cannot connect to 127.0.0.1 over TLS: the peer doesn't speak TLS",
  );
  assertMatch((await promise).message, /TLS was received where HTTP was expected/);
});

Deno.test("fault 50: the error for the port of another protocol names it", async () => {
  await using ctx = new Context();
  for (
    const [scheme, message] of [
      ["ws", /The status line is malformed: "SSH-2.0-OpenSSH_9.2"/],
      ["wss", /the peer doesn't speak TLS/],
    ] as const
  ) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const serving = (async () => {
      using conn = await listener.accept();
      await conn.write(new TextEncoder().encode("SSH-2.0-OpenSSH_9.2\r\n\r\n"));
      await readToEnd(conn);
    })();
    const url = `${scheme}://127.0.0.1:${listener.addr.port}/`;
    const error = await failure(ctx.connect(url).opened);
    assertInstanceOf(error, HandshakeError);
    assertMatch(error.message, message);
    await serving;
  }
});

Deno.test("fault 62: a missing client certificate is a HandshakeError that names it", async () => {
  await using ctx = new Context();
  const errors: unknown[] = [];
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    tls: { ...server, clientCaCerts: ca },
  });
  // The server's alert may come before or after the request was sent.
  for (let i = 0; i < 10; i++) {
    const conn = ctx.connect(`wss://localhost:${listener.port}/`, {
      tls: { caCerts: [ca] },
      onError: (_conn, error) => void errors.push(error),
    });
    const error = await failure(conn.opened);
    assertInstanceOf(error, HandshakeError);
    assertEquals(
      [error.status, error.message],
      [
        0,
        "Cannot connect to localhost over TLS: the peer requires a client certificate and got none",
      ],
    );
    assertEquals((await conn.closed).cause, error);
    assertEquals(errors.pop(), error);
  }
});

Deno.test("fault 51: a common name isn't enough for a host", async () => {
  await using ctx = new Context({ tls: { caCerts: [ca] } });
  for (const pair of [certificates.nameless, certificates.tricky]) {
    const listener = ctx.listen({ hostname: "127.0.0.1", tls: pair });
    const error = await failure(ctx.connect(`wss://localhost:${listener.port}/`).opened);
    assertInstanceOf(error, HandshakeError);
    assertEquals(
      error.message,
      "Cannot connect to localhost over TLS: the certificate is for another host name",
    );
    const insecure = ctx.connect(`wss://localhost:${listener.port}/`, { tls: { insecure: true } });
    await insecure.opened;
  }
});

Deno.test("names in certificates are matched by RFC 9525", () => {
  const raw = (pair: { cert: string }) => new Uint8Array(new X509Certificate(pair.cert).raw);
  for (
    const [pair, name, isMeant] of [
      [server, "localhost", true],
      [server, "LOCALHOST.", true],
      [server, "127.0.0.1", true],
      [server, "::1", true],
      [server, "0:0:0:0:0:0:0:1", true],
      [server, "::ffff:127.0.0.1", false],
      [server, "127.0.0.2", false],
      [server, "a.localhost", false],
      [certificates.tricky, "a.wild.example", true],
      [certificates.tricky, "wild.example", false],
      [certificates.tricky, ".wild.example", false],
      [certificates.tricky, "a.b.wild.example", false],
      [certificates.tricky, "foo.part.example", false],
      [certificates.tricky, "f*.part.example", true],
      [certificates.tricky, "localhost", false],
      // An address among the DNS names doesn't count.
      [certificates.tricky, "127.0.0.2", false],
      [certificates.tricky, "127.0.0.1", true],
      [certificates.nameless, "localhost", false],
      [certificates.elsewhere, "localhost", false],
      [certificates.elsewhere, "elsewhere.example", true],
    ] as const
  ) {
    const error = checkServerIdentity(name, raw(pair));
    assertEquals(error === undefined, isMeant, name);
  }
  // An invalid certificate matches no host, and nothing is thrown.
  const good = raw(server);
  for (let length = 0; length < good.length; length++) {
    assert(checkServerIdentity("localhost", good.subarray(0, length)) !== undefined);
  }
  for (let at = 0; at < good.length; at++) {
    const bad = good.slice();
    bad[at] = 0xff;
    checkServerIdentity("localhost", bad);
  }
});
