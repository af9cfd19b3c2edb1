import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import tls from "node:tls";
import { Context } from "../../mod.ts";
import { readServerName } from "../../src/transport/client_hello.ts";
import { concat } from "../support/bytes.ts";
import { randomBytes } from "../support/random.ts";
import { makeCertificates } from "./certificates.ts";

const certificates = makeCertificates();
const { ca, server, elsewhere, client } = certificates;
addEventListener("unload", () => certificates[Symbol.dispose]());

/** The first bytes of a real TLS client. */
async function helloOf(servername: string | undefined): Promise<Uint8Array> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const socket = tls.connect({ host: "127.0.0.1", port, servername, rejectUnauthorized: false });
  socket.on("error", () => {});
  using conn = await listener.accept();
  const bytes = new Uint8Array(8192);
  const count = await conn.read(bytes);
  socket.destroy();
  return bytes.slice(0, count!);
}

/** Splits a ClientHello into records of `size` bytes. */
function inRecords(hello: Uint8Array, size: number): Uint8Array {
  const body = hello.subarray(5), records: Uint8Array[] = [];
  for (let at = 0; at < body.length; at += size) {
    const part = body.subarray(at, at + size);
    records.push(Uint8Array.of(22, 3, 1, part.length >> 8, part.length & 0xff), part);
  }
  return concat(...records);
}

Deno.test("the name in a ClientHello is read, split at every byte, and in records of every size", async () => {
  const hello = await helloOf("Some.Name.example");
  for (let at = 0; at < hello.length; at++) assertEquals(readServerName(hello.slice(0, at)), null);
  for (const behind of [[], [22, 3, 3], [1, 2, 3]]) {
    assertEquals(readServerName(concat(hello, Uint8Array.from(behind))), "some.name.example");
  }
  for (const size of [1, 2, 3, 4, 5, 50, 100]) {
    const torn = inRecords(hello, size);
    assertEquals(readServerName(torn), "some.name.example", `records of ${size}`);
    assertEquals(readServerName(torn.slice(0, -1)), null, `records of ${size}`);
  }
});

Deno.test("a ClientHello without a name, and other bytes, have no name", async () => {
  assertEquals(readServerName(await helloOf(undefined)), "");
  const text = (text: string) => new TextEncoder().encode(text);
  for (
    const bytes of [
      text("GET / HTTP/1.1"),
      Uint8Array.of(21, 3, 1, 0, 2, 2, 40),
      Uint8Array.of(22, 3, 1, 0, 0),
    ]
  ) {
    assertEquals(readServerName(bytes), "");
  }
  // Another handshake message, and one that is too long.
  assertEquals(readServerName(Uint8Array.of(22, 3, 1, 0, 4, 2, 0, 0, 0)), "");
  assertEquals(readServerName(Uint8Array.of(22, 3, 1, 0, 4, 1, 1, 0, 0)), "");
  const hello = await helloOf("name.example");
  for (let i = 0; i < 2000; i++) {
    // The result may be a name, none, or a request for more bytes; never an exception.
    const broken = hello.slice(), noise = randomBytes(3, i);
    broken[(noise[0] << 8 | noise[1]) % broken.length] = noise[2];
    const name = readServerName(broken);
    assert(name === null || typeof name === "string");
  }
});

/** The output of `openssl s_client` for a name: the subject of the certificate, or the error. */
async function shown(port: number, ...args: string[]): Promise<string> {
  const child = new Deno.Command("openssl", {
    args: ["s_client", "-connect", `127.0.0.1:${port}`, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  const { stdout, stderr } = await child.output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  return /subject=.*?CN ?= ?(\S+)/.exec(text)?.[1] ??
    /unrecognized name|alert number \d+/.exec(text)?.[0] ?? text;
}

Deno.test("tls.resolve selects a certificate by name in each handshake, and the default applies to others", async () => {
  await using ctx = new Context();
  const asked: string[] = [];
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    tls: {
      ...server,
      resolve: async (name) => {
        asked.push(name);
        await null;
        return name === "elsewhere.example" ? elsewhere : undefined;
      },
    },
    onMessage: (conn, data) => void conn.send(data),
  });
  const other = await shown(listener.port, "-servername", "ELSEWHERE.example");
  const usual = await shown(listener.port, "-servername", "localhost");
  const none = await shown(listener.port, "-noservername");
  assert(other !== usual);
  assertEquals(none, usual);
  assertEquals(asked, ["elsewhere.example", "localhost", ""]);
  await using conn = ctx.connect(listener.url.replace("127.0.0.1", "localhost"), {
    tls: { caCerts: [ca] },
  });
  await conn.opened;
  conn.send("hello");
  assertEquals(await conn.receive(), "hello");
});

Deno.test("tls.resolve without a default refuses an unknown name with the alert for it, a failure with another", async () => {
  await using ctx = new Context();
  const errors: string[] = [];
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    tls: {
      resolve: (name) => {
        if (name === "throws.example") throw new Error("no database");
        if (name === "rubbish.example") return { cert: "x", key: "y" };
        return name === "localhost" ? server : null;
      },
    },
    onHandshakeError: (error) => errors.push((error as Error).message),
  });
  assertEquals(await shown(listener.port, "-servername", "nobody.example"), "unrecognized name");
  await shown(listener.port, "-servername", "throws.example");
  await shown(listener.port, "-servername", "rubbish.example");
  assert((await shown(listener.port, "-servername", "localhost")).length > 0);
  assert(errors.length >= 3, String(errors));
  assert(errors[0].includes('no certificate for the name "nobody.example"'), errors[0]);
  assert(errors[1].includes("no database"), errors[1]);
  assert(errors[2].includes("tls.cert"), errors[2]);
});

Deno.test("handshakeTimeout ends a tls.resolve that never settles; mutual TLS works with it", async () => {
  await using ctx = new Context();
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const hanging = ctx.listen({
    hostname: "127.0.0.1",
    handshakeTimeout: 50,
    tls: { resolve: () => new Promise(() => {}) },
    onHandshakeError: resolve,
  });
  const conn = ctx.connect(hanging.url, { tls: { insecure: true } });
  assert(/50 ms/.test(String(await promise)));
  await assertRejects(() => conn.opened);
  const mutual = ctx.listen({
    hostname: "127.0.0.1",
    tls: { clientCaCerts: ca, resolve: (name) => name === "localhost" ? server : undefined },
    onMessage: () => {},
  });
  await using secure = ctx.connect(mutual.url.replace("127.0.0.1", "localhost"), {
    tls: { caCerts: [ca], ...client },
  });
  await secure.opened;
  const bare = ctx.connect(mutual.url.replace("127.0.0.1", "localhost"), {
    tls: { caCerts: [ca] },
  });
  await assertRejects(() => bare.opened);
});

Deno.test("tls.resolve: invalid options throw at once", () => {
  const ctx = new Context();
  for (
    const tls of [{}, { resolve: 1 }, { cert: server.cert }, {
      cert: server.cert,
      resolve: () => server,
    }]
  ) {
    assertThrows(() => ctx.listen({ tls: tls as never }), TypeError, "Cannot listen with tls");
  }
});
