import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { nextTick } from "node:process";
import { HandshakeError } from "../../src/errors.ts";
import { startTlsClient } from "../../src/transport/tls_client.ts";
import { TlsAcceptor } from "../../src/transport/tls_server.ts";
import type { Transport } from "../../src/transport/transport.ts";
import { makeCertificates, type Pair } from "./certificates.ts";
import { Relay } from "./relay.ts";
import { failure, mayFail } from "../support/failure.ts";
import { echo, pattern, readExactly, tcpPair, writeAll } from "./streams.ts";
import { standstill, turn } from "../support/until.ts";

const certificates = makeCertificates();
const { ca, server, client, expiredClient, strangeClient } = certificates;
addEventListener("unload", () => certificates[Symbol.dispose]());

/** A TLS server on one end of a TCP pair, and Deno's own client on the other. */
async function connected(acceptor: TlsAcceptor): Promise<[Transport, Deno.TlsConn]> {
  const [near, far] = await tcpPair();
  const [accepted, conn] = await Promise.all([
    acceptor.accept(far),
    Deno.startTls(near, { hostname: "localhost", caCerts: [ca] }).then(async (conn) => {
      await conn.handshake();
      return conn;
    }),
  ]);
  return [accepted, conn];
}

/** A listener whose connections go through `acceptor`, and a native client with the certificate `pair`. */
async function withClientCertificate(
  acceptor: TlsAcceptor,
  pair: Pair | undefined,
): Promise<{ accepted: ReturnType<TlsAcceptor["accept"]>; conn: Deno.TlsConn | undefined }> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = listener.accept();
  const connecting = Deno.connectTls({
    hostname: "localhost",
    port: listener.addr.port,
    caCerts: [ca],
    ...pair,
  });
  const accepted = acceptor.accept(await accepting);
  mayFail(accepted, "some tests await it");
  const conn = await connecting;
  await mayFail(conn.handshake(), "the server may refuse the certificate");
  return { accepted, conn };
}

Deno.test("TlsAcceptor throws at once for an invalid PEM", () => {
  const { cert, key } = server;
  assertThrows(
    () => new TlsAcceptor({ cert: "x", key }),
    TypeError,
    "tls.cert of length 1: use a certificate",
  );
  assertThrows(
    () => new TlsAcceptor({ cert, key: "x" }),
    TypeError,
    "tls.key of length 1: use a private key",
  );
  assertThrows(
    () => new TlsAcceptor({ cert, key: client.key }),
    TypeError,
    "tls.key of another certificate: use the private key of tls.cert",
  );
  assertThrows(
    () => new TlsAcceptor({ cert, key, clientCaCerts: "x" }),
    TypeError,
    "tls.clientCaCerts of length 1: use a certificate",
  );
  assertThrows(() => new TlsAcceptor({ cert, key, clientCaCerts: [] }), TypeError, "at least one");
});

for (const size of [1, 512, 64 * 1024]) {
  Deno.test(`an echo that reads ${size} bytes at a time returns 8 MiB`, async () => {
    const [transport, conn] = await connected(new TlsAcceptor(server));
    const echoing = echo(transport, size);
    const bytes = pattern(size === 1 ? 64 * 1024 : 8 << 20);
    const [back] = await Promise.all([readExactly(conn, bytes.length), writeAll(conn, bytes)]);
    assertEquals(back, bytes);
    await conn.closeWrite();
    assertEquals(await conn.read(new Uint8Array(1)), null);
    await echoing;
    conn.close();
  });
}

Deno.test("client and server notice each other's clean end", async () => {
  const [transport, conn] = await connected(new TlsAcceptor(server));
  await writeAll(transport, "bye");
  await transport.closeWrite();
  assertEquals(new TextDecoder().decode(await readExactly(conn, 3)), "bye");
  assertEquals(await conn.read(new Uint8Array(1)), null);
  await writeAll(conn, "late");
  assertEquals(new TextDecoder().decode(await readExactly(transport, 4)), "late");
  conn.close();
  assertEquals(await transport.read(new Uint8Array(1)), null);
  transport.close();
});

Deno.test("closeWrite also ends the direction of the socket, after close_notify", async () => {
  for (const who of ["client", "server"] as const) {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    using relay = new Relay(listener.addr.port);
    const near = await Deno.connect({ hostname: "127.0.0.1", port: relay.port });
    const far = await listener.accept();
    listener.close();
    const [accepted, connected] = await Promise.all([
      new TlsAcceptor(server).accept(far),
      startTlsClient(near, "localhost", { caCerts: [ca] }),
    ]);
    const [ending, other] = who === "client" ? [connected, accepted] : [accepted, connected];
    await ending.closeWrite();
    await relay.ended(who === "client" ? "up" : "down");
    assertEquals(await other.read(new Uint8Array(1)), null);
    await writeAll(other, "late");
    assertEquals(new TextDecoder().decode(await readExactly(ending, 4)), "late");
    ending.close();
    other.close();
    await relay.over;
  }
});

for (
  const [where, enter] of [
    ["a microtask", (end: () => void) => queueMicrotask(end)],
    ["a timer", (end: () => void) => void setTimeout(end, 0)],
    ["a tick of Node's", (end: () => void) => nextTick(end)],
    ["a turn of the event loop", (end: () => void) => void setImmediate(end)],
  ] as [string, (end: () => void) => void][]
) {
  for (const how of ["closeWrite", "close"] as const) {
    Deno.test(`the peer gets close_notify of a ${how} in ${where}`, async () => {
      const [transport, conn] = await connected(new TlsAcceptor(server));
      enter(() => void transport[how]());
      // Deno's own client rejects if the end comes without the alert.
      assertEquals(await conn.read(new Uint8Array(1)), null);
      transport.close();
      conn.close();
    });
  }
}

Deno.test("close settles a pending read and a pending write", async () => {
  const [transport, conn] = await connected(new TlsAcceptor(server));
  const reading = transport.read(new Uint8Array(1)).catch(() => "settled");
  const writing = writeAll(transport, new Uint8Array(32 << 20)).catch(() => "settled");
  await standstill(() => transport.bytesTaken!);
  transport.close();
  assert(["settled", null].includes(await reading as string | null));
  assertEquals(await writing as unknown, "settled");
  await failure(transport.write(new Uint8Array(1)));
  conn.close();
});

Deno.test("a server that doesn't read stops its client", async () => {
  const [transport, conn] = await connected(new TlsAcceptor(server));
  let sent = 0;
  const total = 64 << 20;
  const chunk = pattern(64 * 1024);
  const sending = (async () => {
    while (sent < total) {
      await writeAll(conn, chunk);
      sent += chunk.length;
    }
  })();
  await standstill(() => sent);
  // Bytes that weren't accepted can't be in memory. The memory of the process is that of all test files.
  assert(sent < 24 << 20, `${sent} bytes were accepted from the client`);
  await Promise.all([sending, readExactly(transport, total)]);
  transport.close();
  conn.close();
});

// Nagle's algorithm would delay nearly every second message by 40 ms. The tail of the distribution depends on the machine, and is
// printed by bench/tls_gap.ts.
Deno.test("a second small message doesn't wait for the acknowledgement of the first", async () => {
  const [transport, conn] = await connected(new TlsAcceptor(server));
  const gaps: number[] = [];
  for (let i = 0; i < 100; i++) {
    // A request first, so that the client's kernel delays the acknowledgement of the response.
    await writeAll(conn, "?");
    await readExactly(transport, 1);
    const [first] = await Promise.all([
      readExactly(conn, 1).then(() => performance.now()),
      (async () => {
        await writeAll(transport, "1");
        await turn();
        await writeAll(transport, "2");
      })(),
    ]);
    await readExactly(conn, 1);
    gaps.push(performance.now() - first);
  }
  gaps.sort((a, b) => a - b);
  assert(gaps[50] < 20, `the median is ${gaps[50]} ms`);
  transport.close();
  conn.close();
});

Deno.test("the error for plain text on a TLS port names it", async () => {
  const [near, far] = await tcpPair();
  const accepting = failure(new TlsAcceptor(server).accept(far));
  await writeAll(near, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const error = await accepting;
  assert(error instanceof HandshakeError);
  assertMatch(error.message, /^TLS handshake failed: .*doesn't speak TLS/);
  near.close();
});

Deno.test("the error for a client that disconnects during the handshake names it", async () => {
  const [near, far] = await tcpPair();
  const accepting = failure(new TlsAcceptor(server).accept(far));
  await writeAll(near, new Uint8Array([22, 3, 1, 2, 0, 1]));
  near.close();
  assertMatch((await accepting).message, /TLS handshake failed: .*(closed|reset)/);
});

Deno.test("a stalled client doesn't delay others, and closing its connection ends it", async () => {
  const acceptor = new TlsAcceptor(server);
  const [near, far] = await tcpPair();
  const stalled = failure(acceptor.accept(far));
  const [transport, conn] = await connected(acceptor);
  await writeAll(conn, "ping");
  await readExactly(transport, 4);
  far.close();
  assert(await stalled instanceof HandshakeError);
  near.close();
  transport.close();
  conn.close();
});

Deno.test("with mutual TLS the transport has the client's certificate, and the bytes after the handshake", async () => {
  const acceptor = new TlsAcceptor({ ...server, clientCaCerts: ca });
  const { accepted, conn } = await withClientCertificate(acceptor, client);
  const transport = await accepted;
  const { peerCertificate } = transport;
  assertEquals(peerCertificate?.subject, { CN: "alice" });
  assertEquals(peerCertificate?.issuer, { CN: "ca" });
  assert(peerCertificate!.validTo > new Date());
  const echoing = echo(transport);
  const bytes = pattern(1 << 20);
  const [back] = await Promise.all([readExactly(conn!, bytes.length), writeAll(conn!, bytes)]);
  assertEquals(back, bytes);
  conn!.close();
  await echoing;
});

for (
  const [name, pair, reason] of [
    ["no certificate", undefined, /the peer sent no certificate/],
    ["an expired certificate", expiredClient, /the certificate has expired/],
    ["a certificate of an unknown authority", strangeClient, /unknown issuer/],
  ] as const
) {
  Deno.test(`mutual TLS refuses ${name}, and the error names it`, async () => {
    const acceptor = new TlsAcceptor({ ...server, clientCaCerts: [ca] });
    const { accepted, conn } = await withClientCertificate(acceptor, pair);
    const error = await failure(accepted);
    assert(error instanceof HandshakeError);
    assertMatch(error.message, reason);
    await mayFail(conn!.read(new Uint8Array(1)), "the alert is an error");
    conn!.close();
  });
}
