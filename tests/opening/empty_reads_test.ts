import { assertEquals, assertInstanceOf, assertMatch, assertRejects } from "@std/assert";
import {
  type AdoptOptions,
  type ConnectOptions,
  Context,
  type ListenOptions,
  type Sockets,
} from "../../mod.ts";
import { utf8 } from "../support/bytes.ts";
import { clientPreface } from "../support/http2_peer.ts";
import { MemoryConn } from "../support/memory_conn.ts";
import { until } from "../support/until.ts";
import { makeCertificates } from "../transport/certificates.ts";

// Reads that return no bytes, again and again. Without a bound they would keep the event loop busy for ever.

const ROLES: Record<"server" | "client", AdoptOptions> = {
  server: { role: "server" },
  client: { role: "client", url: "ws://127.0.0.1/" },
};

/** A socket that returns `bytes`, and then reads of no bytes. */
function emptySocket(bytes: Uint8Array = new Uint8Array(0)): MemoryConn {
  const [near] = MemoryConn.pair();
  near.read = (into) => {
    const part = bytes.subarray(0, into.length);
    bytes = bytes.subarray(part.length);
    into.set(part);
    return Promise.resolve(part.length);
  };
  return near;
}

/** Streams to adopt. */
const EMPTY: Record<string, () => Parameters<Context["adopt"]>[0]> = {
  "a Deno.Conn": () => emptySocket(),
  "a stream pair": () => ({
    readable: new ReadableStream({ pull: (to) => to.enqueue(new Uint8Array(0)) }),
    writable: new WritableStream(),
  }),
};

for (const role of ["server", "client"] as const) {
  for (const [name, make] of Object.entries(EMPTY)) {
    for (const handshake of [true, false]) {
      const which = handshake ? "during the handshake" : "when open";
      Deno.test(`empty reads of ${name} end a ${role} ${which}`, async () => {
        await using ctx = new Context();
        const told: unknown[] = [];
        const conn = ctx.adopt(make(), {
          ...ROLES[role],
          handshake,
          closeTimeout: 50,
          onError: (_, error) => void told.push(error),
          onMessage() {},
        });
        const { cause } = await conn.closed;
        assertInstanceOf(cause, TypeError);
        assertMatch(`${cause}`, /reads returned nothing/);
        assertEquals(told, [cause]);
      });
    }
  }
}

/** Sockets of a context that are all made by `make`. */
function socketsOf(make: () => MemoryConn): Sockets {
  return {
    listenTcp() {
      let accepted = false, end: (reason: Error) => void;
      return {
        addr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
        accept() {
          if (accepted) return new Promise((_, reject) => end = reject);
          accepted = true;
          return Promise.resolve(make());
        },
        close: () => end?.(new Deno.errors.BadResource("closed")),
        ref() {},
        unref() {},
      };
    },
    listenUnix: () => {
      throw new Error("not used here");
    },
    connectTcp: () => Promise.resolve(make()),
    connectUnix: () => Promise.reject(new Error("not used here")),
  };
}

const certificates = makeCertificates();
addEventListener("unload", () => certificates[Symbol.dispose]());
const { server } = certificates;

const LISTENING: Record<string, Partial<ListenOptions>> = {
  "the head of a request": {},
  "TLS": { tls: server },
  "the name that TLS asks for": { tls: { resolve: () => server } },
  "a PROXY head": { proxyProtocol: { from: ["unix"] } },
};

for (const [what, options] of Object.entries(LISTENING)) {
  Deno.test(`empty reads of ${what} end only that connection`, async () => {
    await using ctx = new Context();
    const failed = Promise.withResolvers<unknown>();
    ctx.listen({
      hostname: "127.0.0.1",
      sockets: socketsOf(() => emptySocket()),
      onHandshakeError: (error) => failed.resolve(error),
      ...options,
    });
    assertMatch(Deno.inspect(await failed.promise), /reads returned nothing/);
  });
}

Deno.test("empty reads of a request's body end the request", async () => {
  await using ctx = new Context();
  const handled = Promise.withResolvers<Promise<string>>();
  ctx.listen({
    hostname: "127.0.0.1",
    sockets: socketsOf(() =>
      emptySocket(utf8("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"))
    ),
    async handler(request) {
      const body = request.text();
      handled.resolve(body);
      await body.catch(() => {});
      return new Response();
    },
  });
  await assertRejects(() => handled.promise.then((body) => body));
});

Deno.test("empty reads after the preface of HTTP/2 end the connection", async () => {
  await using ctx = new Context();
  const socket = emptySocket(clientPreface());
  ctx.listen({ hostname: "127.0.0.1", http2: true, sockets: socketsOf(() => socket) });
  await until(() => socket.closes > 0);
});

const DIALLING: Record<string, [url: string, options: ConnectOptions]> = {
  "the response to a handshake": ["ws://127.0.0.1:1/", {}],
  "TLS": ["wss://127.0.0.1:1/", {}],
  "an HTTP proxy": ["ws://127.0.0.1:1/", { proxy: "http://127.0.0.1:2" }],
  "a SOCKS5 proxy": ["ws://127.0.0.1:1/", { proxy: "socks5://127.0.0.1:2" }],
};

for (const [what, [url, options]] of Object.entries(DIALLING)) {
  Deno.test(`empty reads of ${what} end the attempt`, async () => {
    await using ctx = new Context();
    const conn = ctx.connect(url, {
      sockets: socketsOf(() => emptySocket()),
      onError() {},
      ...options,
    });
    const { cause } = await conn.closed;
    assertMatch(Deno.inspect(cause), /reads returned nothing/);
  });
}
