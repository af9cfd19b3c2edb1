import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { HandshakeError } from "../../src/errors.ts";
import {
  checkTlsClientOptions,
  startTlsClient,
  type TlsClientOptions,
} from "../../src/transport/tls_client.ts";
import { TlsAcceptor } from "../../src/transport/tls_server.ts";
import type { Transport } from "../../src/transport/transport.ts";
import { makeCertificates, type Pair } from "./certificates.ts";
import { failure, readToEnd } from "../support/failure.ts";
import { echo, pattern, readExactly, tcpPair, writeAll } from "./streams.ts";
import { standstill } from "../support/until.ts";

const certificates = makeCertificates();
const { ca, server, client } = certificates;
addEventListener("unload", () => certificates[Symbol.dispose]());

/** Connects to a TLS server that echoes and has the certificate `pair`. */
async function connect(
  pair: Pair,
  hostname: string,
  options: TlsClientOptions,
  clientCaCerts?: string,
): Promise<{ client: Transport; serving: Promise<unknown> }> {
  const [near, far] = await tcpPair();
  const serving = new TlsAcceptor({ ...pair, clientCaCerts }).accept(far)
    .then((transport) => echo(transport).finally(() => transport.close()))
    .catch((error) => error);
  try {
    return { client: await startTlsClient(near, hostname, options), serving };
  } catch (error) {
    await serving;
    throw error;
  }
}

for (
  const [name, hostname, options, clientCaCerts] of [
    ["by name", "localhost", { caCerts: [ca] }, undefined],
    ["by address", "127.0.0.1", { caCerts: [ca] }, undefined],
    ["by IPv6 address", "::1", { caCerts: [ca] }, undefined],
    [
      "Deno's own TLS, other name",
      "elsewhere",
      { caCerts: [ca], serverName: "localhost" },
      undefined,
    ],
    ["a client certificate", "localhost", { caCerts: [ca], ...client }, ca],
    ["a client certificate, by address", "127.0.0.1", { caCerts: [ca], ...client }, ca],
    ["insecure", "anything.example", { insecure: true }, undefined],
    ["insecure, with a client certificate", "::1", { insecure: true, ...client }, ca],
  ] as [string, string, TlsClientOptions, string | undefined][]
) {
  Deno.test(`an echo of 8 MiB is received: ${name}`, async () => {
    const { client, serving } = await connect(server, hostname, options, clientCaCerts);
    const bytes = pattern(8 << 20);
    const [back] = await Promise.all([readExactly(client, bytes.length), writeAll(client, bytes)]);
    assertEquals(back, bytes);
    await client.closeWrite();
    assertEquals(await client.read(new Uint8Array(1)), null);
    client.close();
    assertEquals(await serving, undefined);
  });
}

for (
  const [way, more] of [["an anonymous client", {}], [
    "a client with a certificate",
    client,
  ]] as const
) {
  const options = { caCerts: [ca], ...more };
  for (
    const [name, pair, hostname, reason, given] of [
      ["an expired certificate", certificates.expired, "localhost", /has expired/, options],
      ["the wrong host", certificates.elsewhere, "localhost", /another host name/, options],
      ["the wrong address", server, "127.0.0.2", /another host name/, options],
      ["an unknown issuer", certificates.stranger, "localhost", /unknown issuer/, options],
      ["no caCerts", server, "localhost", /unknown issuer/, { ...more }],
    ] as [string, Pair, string, RegExp, TlsClientOptions][]
  ) {
    Deno.test(`the error of ${way} names ${name}`, async () => {
      const error = await failure(connect(pair, hostname, given));
      assert(error instanceof HandshakeError);
      assertMatch(error.message, new RegExp(`^Cannot connect to ${hostname} over TLS: .*`));
      assertMatch(error.message, reason);
    });
  }

  Deno.test(`the error of ${way} names plain text from the other side`, async () => {
    const [near, far] = await tcpPair();
    const connecting = failure(startTlsClient(near, "localhost", options));
    await writeAll(far, "HTTP/1.1 400 Bad Request\r\n\r\n");
    assertMatch((await connecting).message, /doesn't speak TLS/);
    far.close();
  });

  Deno.test(`the error of ${way} names a server that disconnects during the handshake`, async () => {
    const [near, far] = await tcpPair();
    const connecting = failure(startTlsClient(near, "localhost", options));
    far.close();
    assertMatch((await connecting).message, /over TLS: .*(closed|reset)/);
  });

  Deno.test(`${way} can abort a hanging handshake`, async () => {
    const [near, far] = await tcpPair();
    const connecting = failure(startTlsClient(near, "localhost", options));
    // The client has sent its hello, and waits.
    const buffer = new Uint8Array(4096);
    assert(await far.read(buffer) !== null);
    near.close();
    assert(await connecting instanceof HandshakeError);
    await readToEnd(far);
    far.close();
  });

  Deno.test(`${way} stops the server while it doesn't read`, async () => {
    const [near, far] = await tcpPair();
    const [transport, reader] = await Promise.all([
      new TlsAcceptor(server).accept(far),
      startTlsClient(near, "localhost", options),
    ]);
    let sent = 0;
    const total = 48 << 20;
    const chunk = pattern(64 * 1024);
    const sending = (async () => {
      while (sent < total) {
        await writeAll(transport, chunk);
        sent += chunk.length;
      }
    })();
    await standstill(() => sent);
    assert(sent < 24 << 20, `${sent} bytes were accepted from the server`);
    await Promise.all([sending, readExactly(reader, total)]);
    transport.close();
    reader.close();
  });
}

Deno.test("the first read's error names the demand for a client certificate", async () => {
  const { client, serving } = await connect(server, "localhost", { caCerts: [ca] }, ca);
  const error = await failure(client.read(new Uint8Array(1)));
  assertEquals(error.message, "TLS failed: the peer requires a client certificate and got none");
  client.close();
  await serving;
});

Deno.test("TLS within TLS works, as through an https proxy", async () => {
  const [near, far] = await tcpPair();
  const acceptor = new TlsAcceptor(server);
  const serving = (async () => {
    const outer = await acceptor.accept(far);
    const inner = await acceptor.accept(outer);
    await echo(inner);
  })();
  const outer = await startTlsClient(near, "localhost", { caCerts: [ca] });
  const inner = await startTlsClient(outer, "localhost", { caCerts: [ca] });
  const bytes = pattern(4 << 20);
  const [back] = await Promise.all([readExactly(inner, bytes.length), writeAll(inner, bytes)]);
  assertEquals(back, bytes);
  inner.close();
  await serving;
});

Deno.test("invalid options throw at once", () => {
  const { cert, key } = client;
  for (
    const [options, message] of [
      [{ cert }, "cert and key go together"],
      [{ key }, "cert and key go together"],
      [{ cert, key: "x" }, "tls.key of length 1: use a private key"],
      [{ cert: "x", key }, "tls.cert of length 1: use a certificate"],
      [
        { cert, key: server.key },
        "tls.key of another certificate: use the private key of tls.cert",
      ],
      [{ caCerts: ["x"] }, "an entry of tls.caCerts of length 1: use a certificate"],
      [{ caCerts: ca as unknown as string[] }, `tls.caCerts of length ${ca.length}: use a list`],
      [{ serverName: "a b" }, 'tls.serverName "a b" (a string): use the name of a host'],
    ] as [TlsClientOptions, string][]
  ) {
    assertThrows(() => checkTlsClientOptions(options), TypeError, message);
  }
  checkTlsClientOptions({ cert, key, caCerts: [ca], serverName: "localhost", insecure: true });
});
