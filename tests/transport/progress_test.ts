import { assert, assertEquals } from "@std/assert";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { Duplex } from "node:stream";
import { type CloseRecord, type Connection, Context } from "../../mod.ts";
import { PrefixedTransport } from "../../src/transport/prefixed.ts";
import { TlsAcceptor } from "../../src/transport/tls_server.ts";
import { startTlsClient } from "../../src/transport/tls_client.ts";
import type { Transport } from "../../src/transport/transport.ts";
import { turn, until } from "../support/until.ts";
import { Relay } from "./relay.ts";
import { makeCertificates } from "./certificates.ts";
import { failure } from "../support/failure.ts";
import { readExactly, tcpPair, writeAll } from "./streams.ts";
import { VirtualClock } from "../support/virtual_clock.ts";

const certificates = makeCertificates();
const { ca, server } = certificates;
addEventListener("unload", () => certificates[Symbol.dispose]());

// Slow transfers that take much longer than the timeouts below, and are never silent for that long. The clock advances with
// the transferred bytes, however long that takes on this machine.
const TICK = 10;
const SILENCE = 400;

/** A connection whose kernel accepts 1 KiB in each tick of a clock, after the clock is set. */
function slowTaker(conn: Deno.Conn, clock: () => VirtualClock | null): Deno.Conn {
  return new Proxy(conn, {
    get(target, name) {
      if (name === "write") {
        return async (data: Uint8Array) => {
          const time = clock();
          if (time === null) return await target.write(data);
          await time.advance(TICK);
          return await target.write(data.subarray(0, 1024));
        };
      }
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** A Node stream over a connection that accepts 1 KiB in each tick of a clock, after the clock is set. */
function slowDuplex(conn: Deno.Conn, clock: () => VirtualClock | null): Duplex {
  const taker = slowTaker(conn, clock);
  return new Duplex({
    read() {
      const buffer = new Uint8Array(65536);
      conn.read(buffer).then(
        (count) => this.push(count === null ? null : buffer.subarray(0, count)),
        (error) => this.destroy(error),
      );
    },
    write(chunk, _encoding, done) {
      writeAll(taker, chunk).then(() => done(), done);
    },
    final(done) {
      conn.closeWrite().then(() => done(), done);
    },
    destroy(error, done) {
      try {
        conn.close();
      } catch {
        // The peer has closed it already.
      }
      done(error);
    },
  });
}

/** Sends a record of 16 KiB that takes four times as long to arrive as the server's timeout. */
async function sendDripping(
  ctx: Context,
  relay: Relay,
  clock: VirtualClock,
  open: () => boolean,
  got: Promise<number>,
): Promise<Connection> {
  const conn = ctx.connect(`wss://localhost:${relay.port}/`, {
    tls: { caCerts: [ca] },
    keepAlive: false,
  });
  await conn.opened;
  await until(open);
  relay.rest = async () => {
    await clock.advance(TICK);
    // The bytes arrive within the tick.
    await turn();
  };
  relay.drip = 100;
  conn.send("x".repeat(16000));
  assertEquals(await got, 16000);
  return conn;
}

Deno.test("fault 31: a TLS record that arrives slowly keeps the connection alive", async () => {
  using clock = new VirtualClock();
  await using ctx = new Context();
  let open = false;
  const ends: CloseRecord[] = [];
  const got = Promise.withResolvers<number>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    tls: server,
    keepAlive: { interval: SILENCE, timeout: SILENCE },
    onConnect: () => void (open = true),
    onMessage: (_conn, data) => got.resolve(data.length),
    onClose: (_conn, record) => {
      ends.push(record);
      got.reject(record.cause);
    },
  });
  using relay = new Relay(listener.port);
  const conn = await sendDripping(ctx, relay, clock, () => open, got.promise);
  assertEquals(ends, []);
  relay.drip = 0;
  conn.close();
  await conn.closed;
  await relay.over;
});

Deno.test("fault 31: the same applies to an adopted socket of node:https", async () => {
  using clock = new VirtualClock();
  await using ctx = new Context();
  let open = false;
  const got = Promise.withResolvers<number>();
  const host = createServer({ cert: server.cert, key: server.key });
  host.on("upgrade", (request, socket, head) => {
    ctx.adopt(socket, {
      request,
      initialData: head,
      keepAlive: { interval: SILENCE, timeout: SILENCE },
      onConnect: () => void (open = true),
      onMessage: (_conn, data) => got.resolve(data.length),
      onClose: (_conn, record) => got.reject(record.cause),
    });
  });
  await new Promise<void>((done) => host.listen(0, "127.0.0.1", done));
  const { port } = host.address() as AddressInfo;
  using relay = new Relay(port);
  const conn = await sendDripping(ctx, relay, clock, () => open, got.promise);
  relay.drip = 0;
  conn.close();
  await conn.closed;
  await relay.over;
  await new Promise((done) => host.close(done));
});

// 128 KiB, of which the kernel accepts 1 KiB every 10 ms: a single write of TLS takes longer than the timeout.
const LENGTH = 128 * 1024;

/** Sends to a slow peer, and closes at once or after the drain. No timeout may end that. */
async function sendSlowly(sender: Connection, receiver: Connection, atOnce: boolean) {
  sender.send(new Uint8Array(LENGTH));
  if (atOnce) sender.close();
  else sender.drained().then(() => sender.close(), () => {});
  assertEquals((await receiver.receive()).length, LENGTH);
  const record = await sender.closed;
  assertEquals([record.cause, record.wasClean], [undefined, true]);
}

for (const [name, timeouts] of [["sendTimeout", { sendTimeout: SILENCE }], ["closeTimeout", {}]]) {
  Deno.test(`fault 32: ${name} over TLS counts the bytes of a write that the kernel accepts`, async () => {
    using clock = new VirtualClock();
    await using ctx = new Context();
    let slow: VirtualClock | null = null;
    const accepted = Promise.withResolvers<Connection>();
    const below = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const slowListener = new Proxy(below, {
      get(target, key) {
        if (key === "accept") return async () => slowTaker(await target.accept(), () => slow);
        const value = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    ctx.listen({
      listener: slowListener,
      tls: server,
      closeTimeout: SILENCE,
      ...timeouts as { sendTimeout?: number },
      onConnect: (conn) => accepted.resolve(conn),
    });
    const conn = ctx.connect(`wss://localhost:${below.addr.port}/`, { tls: { caCerts: [ca] } });
    await conn.opened;
    const sender = await accepted.promise;
    slow = clock;
    await sendSlowly(sender, conn, name === "closeTimeout");
  });

  Deno.test(`fault 32: ${name} over a Node stream counts the bytes that a slow peer reads`, async () => {
    using clock = new VirtualClock();
    await using ctx = new Context();
    let slow: VirtualClock | null = null;
    const accepted = Promise.withResolvers<Connection>();
    const [near, far] = await tcpPair();
    ctx.adopt(slowDuplex(far, () => slow), {
      closeTimeout: SILENCE,
      ...timeouts as { sendTimeout?: number },
      onConnect: (conn) => accepted.resolve(conn),
    });
    const conn = ctx.adopt(near, { role: "client", url: "ws://localhost/" });
    await conn.opened;
    const sender = await accepted.promise;
    slow = clock;
    await sendSlowly(sender, conn, name === "closeTimeout");
  });
}

Deno.test("a peer that reads nothing at all is still noticed over TLS", async () => {
  await using ctx = new Context();
  let stuck = false;
  const ended = Promise.withResolvers<CloseRecord>();
  const accepted = Promise.withResolvers<Connection>();
  const below = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const stuckListener = new Proxy(below, {
    get(target, key) {
      if (key === "accept") {
        return async () => {
          const conn = await target.accept();
          return new Proxy(conn, {
            get(target, name) {
              if (name === "write" && stuck) return () => new Promise(() => {});
              const value = Reflect.get(target, name, target);
              return typeof value === "function" ? value.bind(target) : value;
            },
          });
        };
      }
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  ctx.listen({
    listener: stuckListener,
    tls: server,
    sendTimeout: 100,
    onConnect: (conn) => accepted.resolve(conn),
    onClose: (_conn, record) => ended.resolve(record),
  });
  const conn = ctx.connect(`wss://localhost:${below.addr.port}/`, { tls: { caCerts: [ca] } });
  await conn.opened;
  stuck = true;
  (await accepted.promise).send("never taken");
  const { cause } = await ended.promise;
  assertEquals((cause as Error).message, "The peer read nothing for 100 ms");
});

Deno.test("the counters of TLS in TLS are those of the socket, also through a prefix", async () => {
  const [near, far] = await tcpPair();
  const acceptor = new TlsAcceptor(server);
  const serving = (async () => await acceptor.accept(await acceptor.accept(far)))();
  const outer = await startTlsClient(near, "localhost", { caCerts: [ca] });
  const inner: Transport = await startTlsClient(outer, "localhost", { caCerts: [ca] });
  const transport: Transport = new PrefixedTransport(new Uint8Array(1), inner);
  const peer = await serving;
  const { bytesReceived, bytesTaken } = transport;
  assert(bytesReceived! > 0 && bytesTaken! > 0);
  assertEquals([inner.bytesReceived, inner.bytesTaken], [bytesReceived, bytesTaken]);
  assertEquals([outer.bytesReceived, outer.bytesTaken], [bytesReceived, bytesTaken]);
  await writeAll(transport, new Uint8Array(1000));
  await readExactly(peer, 1000);
  assert(transport.bytesTaken! > bytesTaken! + 1000);
  await readExactly(transport, 1);
  assertEquals(transport.bytesReceived, bytesReceived);
  const reading = readExactly(transport, 1000);
  await writeAll(peer, new Uint8Array(1000));
  await reading;
  assert(transport.bytesReceived! > bytesReceived! + 1000);
  const plain = new PrefixedTransport(new Uint8Array(1), near);
  assertEquals([plain.bytesReceived, plain.bytesTaken], [undefined, undefined]);
  transport.close();
  await failure(readExactly(peer, 1));
  peer.close();
});

Deno.test("a prefixed transport passes the peer's certificate on", async () => {
  const [near, far] = await tcpPair();
  const certificate = { subject: { CN: "alice" } };
  const below = Object.assign(Object.create(near), { peerCertificate: certificate }) as Transport;
  const transport: Transport = new PrefixedTransport(new Uint8Array(1), below);
  assertEquals(transport.peerCertificate as unknown, certificate);
  near.close();
  far.close();
});
