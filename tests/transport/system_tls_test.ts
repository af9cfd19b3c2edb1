/** TLS over a transport that reports readiness reports it, too, and holds no buffer for a silent peer. */
import { assertEquals, assertThrows } from "@std/assert";
import { readExactly, writeAll } from "../../src/transport/stream_io.ts";
import { startTlsClient } from "../../src/transport/tls_client.ts";
import { TlsAcceptor } from "../../src/transport/tls_server.ts";
import type { Transport } from "../../src/transport/transport.ts";
import { randomBytes } from "../support/random.ts";
import { makeCertificates } from "./certificates.ts";
import { pair } from "./_system.ts";

/** Two ends of a TLS stream over system sockets, and the socket below the second one. */
async function tlsPair(): Promise<[Transport, Transport, Transport]> {
  using certificates = makeCertificates();
  const [near, far] = await pair();
  const [client, server] = await Promise.all([
    startTlsClient(near, "localhost", { caCerts: [certificates.ca] }),
    new TlsAcceptor(certificates.server).accept(far),
  ]);
  return [client, server, far];
}

const readable = (transport: Transport) =>
  new Promise<void>((ready) => transport.whenReadable!(ready));

/** Reads by readiness until `length` bytes have come. */
async function readReady(from: Transport, length: number, size: number): Promise<Uint8Array> {
  const all = new Uint8Array(length), into = new Uint8Array(size);
  for (let filled = 0; filled < length;) {
    const count = from.tryRead!(into);
    if (count === null) throw new Error(`The end, after ${filled} of ${length} bytes`);
    all.set(into.subarray(0, count), filled);
    filled += count;
    if (count === 0) await readable(from);
  }
  return all;
}

Deno.test("TLS over system sockets: available bytes are read into buffers of any size, then the end", async () => {
  const [client, server] = await tlsPair();
  // Session tickets may come first. They aren't data.
  assertEquals(client.tryRead!(new Uint8Array(10)), 0);
  for (const size of [100, 5000, 64 * 1024]) {
    const bytes = randomBytes(300_000, size);
    const [, got] = await Promise.all([
      writeAll(server, bytes),
      readReady(client, bytes.length, size),
    ]);
    assertEquals(got, bytes);
  }
  // Both ways of reading use the same stream.
  await writeAll(server, new Uint8Array(1000));
  await readReady(client, 400, 400);
  assertEquals((await readExactly(client, 600))?.length, 600);
  const waiting = readable(client);
  await server.closeWrite();
  await waiting;
  while (client.tryRead!(new Uint8Array(10)) === 0) await readable(client);
  assertEquals(client.tryRead!(new Uint8Array(10)), null);
  await readable(client);
  assertEquals(client.tryRead!(new Uint8Array(10)), null);
  client.close();
  server.close();
});

Deno.test("TLS over system sockets: a forged record is reported, and so is closing", async () => {
  const [client, server, far] = await tlsPair();
  const told = readable(client);
  await far.write(new Uint8Array(100));
  await told;
  const into = new Uint8Array(10);
  // The error comes a tick after the bytes that have caused it.
  for (;;) {
    let count: number | null = 0;
    try {
      count = client.tryRead!(into);
    } catch {
      break;
    }
    assertEquals(count, 0);
    await readable(client);
  }
  assertThrows(() => client.tryRead!(into), Error, "TLS");
  await readable(client);
  client.close();
  server.close();
  const [other, otherServer] = await tlsPair();
  const closed = readable(other);
  other.close();
  await closed;
  assertThrows(() => other.tryRead!(into), Deno.errors.BadResource);
  otherServer.close();
});
