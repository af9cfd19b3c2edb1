import { assert, assertEquals } from "@std/assert";
import { Duplex } from "node:stream";
import { NodeStreamTransport } from "../../src/transport/node_stream.ts";
import { PrefixedTransport } from "../../src/transport/prefixed.ts";
import { closeQuietly, readHead, writeAll } from "../../src/transport/stream_io.ts";
import { startTlsClient } from "../../src/transport/tls_client.ts";
import { TlsAcceptor } from "../../src/transport/tls_server.ts";
import type { Transport } from "../../src/transport/transport.ts";
import { WebStreamTransport } from "../../src/transport/web_stream.ts";
import { Context } from "../support/sluice.ts";
import { utf8 } from "../support/bytes.ts";
import { MemoryConn } from "../support/memory_conn.ts";
import { failure, mayFail, unlessGone } from "../support/failure.ts";
import { turn } from "../support/until.ts";
import { makeCertificates } from "./certificates.ts";
import { tcpPair } from "./streams.ts";

const certificates = makeCertificates();
const { ca, server } = certificates;
addEventListener("unload", () => certificates[Symbol.dispose]());

/** Ways in which a foreign method may misbehave. */
const WAYS = {
  "throws": () => {
    throw new Error("thrown");
  },
  "rejects": () => Promise.reject(new Error("rejected")),
  "never settles": () => new Promise(() => {}),
  "returns a thenable that throws": () => ({
    then() {
      throw new Error("from then");
    },
  }),
};

const METHODS = ["read", "write", "closeWrite", "close", "ref", "unref"] as const;

/** A connection of which one method misbehaves after `switched.on` is set. */
function misbehaving(
  conn: Deno.Conn,
  method: string,
  way: () => unknown,
  switched: { on: boolean },
): Transport {
  return new Proxy(conn, {
    get(target, name) {
      if (name === method && switched.on) return way;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Whether a promise settles within some turns of the event loop. */
async function settles(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(() => settled = true, () => settled = true);
  for (let i = 0; i < 20; i++) await turn();
  return settled;
}

/**
 * Uses every method of a transport. No call may throw, and no rejection may be left unhandled, which the test runner would report.
 * Pending calls settle at `close`, unless the misbehaving method never settles.
 */
async function useAll(transport: Transport, settling: boolean): Promise<void> {
  const pending = [
    transport.read(new Uint8Array(16)),
    transport.write(new Uint8Array(100_000)),
  ];
  for (const promise of pending) mayFail(promise, "the method may fail");
  transport.ref?.();
  transport.unref?.();
  await turn();
  mayFail(transport.closeWrite(), "the method may fail");
  await turn();
  transport.close();
  transport.close();
  closeQuietly(transport);
  if (settling) assert(await settles(Promise.allSettled(pending)));
  for (let i = 0; i < 5; i++) await turn();
}

for (const method of METHODS) {
  for (const [way, how] of Object.entries(WAYS)) {
    // A read that never settles, or that no close ends, may still fill its buffer, so its promise must stay pending.
    const isPending = method === "close" || method === "read" && way === "never settles";

    Deno.test(`a prefixed transport works over a connection whose ${method} ${way}`, async () => {
      const [near, far] = await tcpPair();
      const below = misbehaving(near, method, how, { on: true });
      const transport = new PrefixedTransport(new Uint8Array(1), below);
      assertEquals(await transport.read(new Uint8Array(1)), 1);
      for (
        const call of [
          () => transport.read(new Uint8Array(1)),
          () => transport.write(new Uint8Array(1)),
          () => transport.closeWrite(),
        ]
      ) {
        const result = call();
        assert(result instanceof Promise);
        mayFail<unknown>(result, "the method may fail");
      }
      transport.ref();
      transport.unref();
      transport.close();
      await turn();
      closeQuietly(near);
      far.close();
    });

    for (const role of ["client", "server"] as const) {
      Deno.test(`TLS works over a connection whose ${method} ${way}, ${role}`, async () => {
        const [near, far] = await tcpPair();
        const switched = { on: false };
        const below = misbehaving(near, method, how, switched);
        const options = { caCerts: [ca] };
        const [transport, other] = await Promise.all(
          role === "client"
            ? [startTlsClient(below, "localhost", options), new TlsAcceptor(server).accept(far)]
            : [new TlsAcceptor(server).accept(below), startTlsClient(far, "localhost", options)],
        );
        switched.on = true;
        await useAll(transport, !isPending);
        closeQuietly(near);
        other.close();
      });

      if (method === "closeWrite" || method === "ref" || method === "unref") continue;
      Deno.test(`a TLS handshake ends over a connection whose ${method} ${way}, ${role}`, async () => {
        const [near, far] = await tcpPair();
        const below = misbehaving(near, method, how, { on: true });
        const shaking: Promise<unknown> = role === "client"
          ? startTlsClient(below, "localhost")
          : new TlsAcceptor(server).accept(below);
        mayFail(shaking, "awaited below");
        await turn();
        // These bytes aren't TLS.
        await unlessGone(far.write(new Uint8Array(100)));
        if (method !== "read" || way !== "never settles") assert(await settles(shaking));
        closeQuietly(near);
        closeQuietly(far);
        await turn();
      });
    }
  }
}

// Node calls the first ones itself, and the library calls the others.
const NODE_METHODS = ["_read", "_write", "_final", "_destroy", "write", "end", "destroy"];
const EXTRAS = ["setNoDelay", "setTimeout", "ref", "unref"];

for (const method of [...NODE_METHODS, ...EXTRAS]) {
  for (const [way, how] of Object.entries(WAYS)) {
    // Node doesn't await the promises of these methods.
    if (method.startsWith("_") && way !== "throws") continue;
    Deno.test(`a transport works over a Node stream whose ${method} ${way}`, async () => {
      const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
      Object.assign(stream, { [method]: how });
      await useAll(new NodeStreamTransport(stream), true);
    });
  }
}

Deno.test("a transport works over a Node stream that never calls back", async () => {
  const stream = new Duplex({ read() {}, write() {}, final() {}, destroy() {} });
  await useAll(new NodeStreamTransport(stream), true);
});

for (const method of ["pull", "cancel", "write", "close", "abort"]) {
  for (const [way, how] of Object.entries(WAYS)) {
    Deno.test(`a transport works over web streams whose ${method} ${way}`, async () => {
      const behave = (name: string) => name === method ? how as () => never : () => {};
      const readable = new ReadableStream<Uint8Array>({
        pull: behave("pull"),
        cancel: behave("cancel"),
      });
      const writable = new WritableStream<Uint8Array>({
        write: behave("write"),
        close: behave("close"),
        abort: behave("abort"),
      });
      // A write that the sink never finishes can't be cancelled. All other calls settle.
      const settling = method !== "write" || way !== "never settles";
      await useAll(new WebStreamTransport({ readable, writable }), settling);
    });
  }
}

for (const count of [0, -1, NaN, undefined]) {
  Deno.test(`a write that returns ${count} fails, and isn't repeated`, async () => {
    const transport = { write: () => Promise.resolve(count) } as unknown as Transport;
    const error = await failure(writeAll(transport, new Uint8Array(5)));
    assertEquals(error.message, `A write has taken ${count} bytes`);
  });
}

Deno.test("a stream is closed after the refusal of its handshake, for every behaviour of its reads", async () => {
  await using ctx = new Context();
  const ways = [...Object.values(WAYS), () => Promise.resolve(1)];
  await Promise.all(ways.map(async (way) => {
    const [near] = MemoryConn.pair(64 * 1024);
    const closed = Promise.withResolvers<void>();
    let reads = 0;
    near.read = (into) => {
      if (reads++ > 0) return way() as Promise<number>;
      const head = utf8("GET / HTTP/1.1\r\n\r\n");
      into.set(head);
      return Promise.resolve(head.length);
    };
    near.close = closed.resolve;
    const { code } = await ctx.adopt(near, { role: "server" }).closed;
    assertEquals(code, 1006);
    await closed.promise;
  }));
});

Deno.test("a stream that ends while its handshake is cancelled is closed, in any order", async () => {
  await using ctx = new Context();
  for (let microtasks = 0; microtasks < 10; microtasks++) {
    const [near] = MemoryConn.pair(64 * 1024);
    const read = Promise.withResolvers<null>(), asked = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    near.read = () => {
      asked.resolve();
      return read.promise;
    };
    near.close = closed.resolve;
    const conn = ctx.adopt(near, { role: "server" });
    await asked.promise;
    read.resolve(null);
    for (let n = 0; n < microtasks; n++) await null;
    conn.close();
    await closed.promise;
    assertEquals((await conn.closed).code, 1006);
  }
});

Deno.test("reading an incomplete head fails with the error of the stream", async () => {
  const rejected = { read: WAYS.rejects } as unknown as Transport;
  assertEquals((await failure(readHead(rejected, () => -1))).message, "rejected");
});
