/**
 * What src/transport relies on in Deno's node:tls, numbered as in docs/architecture.md. The library isn't used here, so a failure
 * after an update of Deno shows which point no longer holds.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { X509Certificate } from "node:crypto";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { Duplex } from "node:stream";
import tls from "node:tls";
import { turn, until } from "../support/until.ts";
import { makeCertificates } from "./certificates.ts";

const certificates = makeCertificates();
const { ca, server, client } = certificates;
addEventListener("unload", () => certificates[Symbol.dispose]());

/** A stream that records what `node:tls` writes to it, and emits what it is to read. */
class Wire extends Duplex {
  readonly written: Uint8Array[] = [];
  readonly calls: string[] = [];

  constructor() {
    super({ autoDestroy: false, emitClose: false });
  }
  override pause(): this {
    return this;
  }
  override resume(): this {
    return this;
  }
  override cork(): void {}
  override uncork(): void {}
  override _read(): void {}
  override write(chunk: Uint8Array, encoding?: unknown, callback?: unknown): boolean {
    this.calls.push("write");
    this.written.push(chunk.slice());
    const done = typeof encoding === "function" ? encoding : callback;
    if (typeof done === "function") done();
    return true;
  }
  override end(...args: unknown[]): this {
    this.calls.push("end");
    const done = args.findLast((arg) => typeof arg === "function") as (() => void) | undefined;
    done?.();
    return this;
  }
  override destroy(): this {
    this.calls.push("destroy");
    this.emit("close");
    return this;
  }

  /** Returns the written bytes. */
  carried(): Uint8Array {
    const bytes = new Uint8Array(this.written.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const chunk of this.written.splice(0)) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  }
}

interface End {
  wire: Wire;
  socket: tls.TLSSocket;
  /** The decrypted chunks. */
  pushed: (Uint8Array | null)[];
  /** The events, in order. */
  events: string[];
  errors: Error[];
}

function watch(wire: Wire, socket: tls.TLSSocket): End {
  const end: End = { wire, socket, pushed: [], events: [], errors: [] };
  socket.push = (chunk: Uint8Array | null) => {
    end.pushed.push(chunk);
    return true;
  };
  for (const name of ["secure", "secureConnect", "error", "close", "_tlsError"]) {
    socket.on(name, (error?: Error) => {
      end.events.push(name);
      if (error instanceof Error) end.errors.push(error);
    });
  }
  return end;
}

function clientEnd(options: tls.ConnectionOptions = {}): End {
  const wire = new Wire();
  const socket = tls.connect({ socket: wire, servername: "localhost", ca: [ca], ...options });
  return watch(wire, socket);
}

function serverEnd(): End {
  const wire = new Wire();
  const secureContext = tls.createSecureContext({ cert: server.cert, key: server.key });
  const socket = new tls.TLSSocket(wire, {
    isServer: true,
    secureContext,
    ALPNProtocols: ["http/1.1"],
  });
  return watch(wire, socket);
}

/** Passes bytes between two ends until neither has more. */
async function carry(a: Wire, b: Wire): Promise<void> {
  for (let silent = 0; silent < 3; silent++) {
    for (const [from, to] of [[a, b], [b, a]]) {
      const bytes = from.carried();
      if (bytes.length === 0) continue;
      silent = 0;
      to.emit("data", bytes);
    }
    await turn();
  }
}

async function shaken(options: tls.ConnectionOptions = {}): Promise<[near: End, far: End]> {
  const near = clientEnd(options), far = serverEnd();
  await carry(near.wire, far.wire);
  assertEquals(near.events.toSorted(), ["secure", "secureConnect"]);
  assertEquals(far.events, ["secure"]);
  return [near, far];
}

const text = (chunk: Uint8Array | null) => new TextDecoder().decode(chunk!);

/** Encrypts a text at an end; returns the ciphertext. */
async function encrypted(end: End, data: string): Promise<Uint8Array> {
  end.socket.write(data);
  await turn();
  return end.wire.carried();
}

Deno.test("1: a foreign stream is read by its data events, and written by its method write", async () => {
  const [near, far] = await shaken();
  assert(!near.wire.calls.includes("end"));
  far.wire.emit("data", await encrypted(near, "hello"));
  assertEquals(far.pushed.map(text), ["hello"]);
});

Deno.test("2: decrypted bytes are pushed when emit returns, and the buffer may be reused", async () => {
  for (const [from, to] of [[0, 1], [1, 0]]) {
    const ends = await shaken();
    const bytes = await encrypted(ends[from], "hello");
    ends[to].wire.emit("data", bytes);
    bytes.fill(0);
    assertEquals(ends[to].pushed.map(text), ["hello"]);
  }
});

Deno.test("3: a record in pieces is pushed with its last byte, and two records in one emit are both pushed", async () => {
  const [near, far] = await shaken();
  const bytes = await encrypted(near, "hello");
  for (const byte of bytes.subarray(0, -1)) far.wire.emit("data", Uint8Array.of(byte));
  assertEquals(far.pushed, []);
  far.wire.emit("data", bytes.subarray(-1));
  assertEquals(far.pushed.map(text), ["hello"]);
  const both = [...await encrypted(near, "a"), ...await encrypted(near, "b")];
  far.wire.emit("data", new Uint8Array(both));
  assertEquals(far.pushed.map(text).join(""), "helloab");
});

Deno.test("4: write calls back when all bytes were passed to the stream", async () => {
  for (const which of [0, 1]) {
    const end = (await shaken())[which];
    const { promise, resolve } = Promise.withResolvers<number>();
    const data = new Uint8Array(64 * 1024);
    const length = () => end.wire.written.reduce((sum, chunk) => sum + chunk.length, 0);
    end.socket.write(data, () => resolve(length()));
    assert(await promise > data.length);
  }
});

Deno.test("5: end calls back when close_notify was written; it is pushed as null, and ends one direction", async () => {
  const [near, far] = await shaken();
  near.wire.calls.length = 0;
  near.socket.end(() => near.wire.calls.push("called back"));
  await turn();
  assertEquals(near.wire.calls, ["write", "called back"]);
  far.wire.emit("data", near.wire.carried());
  await turn();
  assertEquals(far.pushed, [null]);
  assertEquals(far.events, ["secure"]);
  near.wire.emit("data", await encrypted(far, "late"));
  assertEquals(near.pushed.map(text), ["late"]);
});

Deno.test("6: destroySoon writes close_notify, then destroys the stream, within a turn", async () => {
  for (const which of [0, 1]) {
    const end = (await shaken())[which];
    end.wire.calls.length = 0;
    end.socket.destroySoon();
    await turn();
    assertEquals(end.wire.calls.slice(0, 2), ["write", "destroy"]);
  }
});

Deno.test("7: an error after the handshake is a _tlsError at once, and an error only to a client", async () => {
  for (const which of [0, 1]) {
    const ends = await shaken();
    const [victim, other] = [ends[which], ends[1 - which]];
    victim.events.length = 0;
    const bytes = await encrypted(other, "hello");
    bytes[bytes.length - 1] ^= 1;
    victim.wire.emit("data", bytes);
    assertEquals(victim.events, which === 0 ? ["_tlsError", "error"] : ["_tlsError"]);
    assertMatch(victim.errors[0].message, /cannot decrypt peer's message/);
  }
});

Deno.test("8: the alert of an error has been written a turn later, and its peer names it", async () => {
  for (const which of [0, 1]) {
    const ends = await shaken();
    const [victim, other] = [ends[which], ends[1 - which]];
    victim.wire.emit("data", new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
    assertMatch(victim.errors[0].message, /received corrupt message of type InvalidContentType/);
    await new Promise((resolve) => setImmediate(resolve));
    other.wire.emit("data", victim.wire.carried());
    assertMatch(other.errors[0].message, /received fatal alert: \w+/);
  }
});

Deno.test("9: an error in the handshake is an error event, on either side", async () => {
  for (const end of [clientEnd(), serverEnd()]) {
    await turn();
    end.wire.emit("data", new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
    await turn();
    assert(end.events.includes("error"));
    assertMatch(end.errors[0].message, /InvalidContentType|corrupt message/);
  }
});

Deno.test("10: checkServerIdentity gets the name and the certificate in DER, and its error counts", async () => {
  const expected = new Uint8Array(new X509Certificate(server.cert).raw);
  for (
    const options of [{ servername: "localhost" }, { servername: undefined, host: "127.0.0.1" }]
  ) {
    const asked: [string, Uint8Array][] = [];
    await shaken({
      ...options,
      checkServerIdentity: (name, { raw }) => void asked.push([name, new Uint8Array(raw)]),
    });
    assertEquals(asked, [[options.servername ?? options.host!, expected]]);
  }
  const near = clientEnd({ checkServerIdentity: () => new Error("not this one") }),
    far = serverEnd();
  await carry(near.wire, far.wire);
  assertEquals(near.errors[0].message, "not this one");
  assert(!near.events.includes("secureConnect"));
});

Deno.test("11: rejectUnauthorized: false accepts any certificate of any host", async () => {
  await shaken({
    ca: undefined,
    rejectUnauthorized: false,
    checkServerIdentity: () => new Error("not this one"),
  });
});

Deno.test("12: a tls.Server takes a stream by its connection event, and verifies the client's certificate", async () => {
  const { strangeClient } = certificates;
  for (
    const [pair, outcome] of [
      [client, /^alice$/],
      [undefined, /PEER_DID_NOT_RETURN_A_CERTIFICATE|sent no certificates/],
      [strangeClient, /UNABLE_TO_VERIFY|UnknownIssuer/],
    ] as const
  ) {
    const wire = new Wire();
    const outcomes: string[] = [];
    const host = tls.createServer({
      cert: server.cert,
      key: server.key,
      ca: [ca],
      requestCert: true,
      rejectUnauthorized: true,
    });
    host.once("secureConnection", (socket) => {
      assert(socket.authorized);
      outcomes.push(String(socket.getPeerCertificate().subject.CN));
    });
    host.once("tlsClientError", (error: Error & { code?: string }, socket) => {
      outcomes.push(`${socket.authorizationError} ${error.code} ${error.message}`);
    });
    const near = clientEnd({ ...pair });
    host.emit("connection", wire);
    await carry(near.wire, wire);
    await until(() => outcomes.length > 0);
    assertMatch(outcomes[0], outcome);
    // With TLS 1.3 the client is connected already, and reads the alert later.
    if (pair === undefined) assertMatch(near.errors[0].message, /alert: ?CertificateRequired/);
  }
});

Deno.test("13: _parent of a node:https socket counts received bytes, the socket decrypted ones, read or not", async () => {
  const host = createServer({ cert: server.cert, key: server.key });
  const { promise, resolve } = Promise.withResolvers<Duplex>();
  host.on("upgrade", (_request, socket) => resolve(socket));
  await new Promise<void>((done) => host.listen(0, "127.0.0.1", done));
  const { port } = host.address() as AddressInfo;
  const conn = await Deno.connectTls({ hostname: "localhost", port, caCerts: [ca] });
  const head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n";
  await conn.write(new TextEncoder().encode(head));
  const socket = await promise as Duplex & {
    encrypted: boolean;
    bytesRead: number;
    _parent: { bytesRead: number };
  };
  assert(socket.encrypted);
  assertEquals(socket.bytesRead, head.length);
  assert(socket._parent.bytesRead > head.length);
  // In paused mode and without reads, node:tls still accepts everything.
  socket.on("readable", () => {});
  const total = 8 << 20;
  for (let sent = 0; sent < total;) sent += await conn.write(new Uint8Array(65536));
  await until(() => socket.bytesRead === head.length + total);
  assert(socket.readableLength < total);
  socket.destroy();
  conn.close();
  await new Promise((done) => host.close(done));
});
