import { assert, assertEquals, assertInstanceOf, assertMatch, assertThrows } from "@std/assert";
import { createServer, type Socket } from "node:net";
import { type Connection, type ConnectOptions, Context, TimeoutError } from "../../mod.ts";
import { failure, readToEnd } from "../support/failure.ts";
import { head, rawListener, RawPeer, upgradeResponse, urlOf } from "../support/raw_peer.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { VirtualClock } from "../support/virtual_clock.ts";
import { standstill } from "../support/until.ts";

const certificates = makeCertificates();
const { ca, server } = certificates;
addEventListener("unload", () => certificates[Symbol.dispose]());

/** The phases in which an attempt may end: the URL, and what the other end has done until then. */
const PHASES: {
  name: string;
  /** The phase as the error of a timeout names it. */
  while: RegExp;
  url?: string;
  proxy?: string;
  answers: ("read" | string | number[])[];
}[] = [
  { name: "the first byte of TLS", while: /negotiating TLS/, url: "wss", answers: ["read"] },
  { name: "the answer", while: /waiting for the answer/, answers: ["read"] },
  {
    name: "the rest of the answer",
    while: /waiting for the answer/,
    answers: ["read", "HTTP/1.1 101 Switching Protocols\r\nUpg"],
  },
  {
    name: "the body of a refusal",
    while: /answered 403/,
    answers: ["read", "HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nno"],
  },
  {
    name: "an HTTP proxy's answer",
    while: /through the proxy/,
    proxy: "http",
    answers: ["read"],
  },
  {
    name: "the body of an HTTP proxy's refusal",
    while: /through the proxy/,
    proxy: "http",
    answers: ["read", "HTTP/1.1 407 No\r\nContent-Length: 10\r\n\r\nno"],
  },
  {
    name: "an HTTPS proxy's TLS",
    while: /through the proxy/,
    proxy: "https",
    answers: ["read"],
  },
  {
    name: "a SOCKS proxy's method",
    while: /through the proxy/,
    proxy: "socks5",
    answers: ["read"],
  },
  {
    name: "a SOCKS proxy's answer",
    while: /through the proxy/,
    proxy: "socks5",
    answers: ["read", [5, 0], "read"],
  },
  {
    name: "the answer through a SOCKS proxy",
    while: /waiting for the answer/,
    proxy: "socks5",
    answers: ["read", [5, 0], "read", [5, 0, 0, 1, 0, 0, 0, 0, 0, 0], "read"],
  },
  {
    name: "TLS through an HTTP proxy",
    while: /negotiating TLS/,
    url: "wss",
    proxy: "http",
    answers: ["read", "HTTP/1.1 200 OK\r\n\r\n", "read"],
  },
];

/** Starts an attempt, and waits until it has reached a phase. */
async function attempt(
  ctx: Context,
  phase: typeof PHASES[number],
  options: ConnectOptions,
): Promise<{ conn: Connection; steps: string[]; peer: Deno.TcpConn }> {
  using listener = rawListener();
  const { port } = listener.addr;
  const steps: string[] = [];
  const conn = ctx.connect(`${phase.url ?? "ws"}://127.0.0.1:${port}/`, {
    proxy: phase.proxy === undefined ? null : `${phase.proxy}://127.0.0.1:${port}`,
    onError: () => void steps.push("error"),
    onClose: () => void steps.push("close"),
    ...options,
  });
  conn.opened.catch(() => void steps.push("rejected"));
  const peer = await listener.accept();
  for (const answer of phase.answers) {
    if (answer === "read") assert(await peer.read(new Uint8Array(4096)) !== null);
    else await peer.write(typeof answer === "string" ? bytes(answer) : new Uint8Array(answer));
  }
  return { conn, steps, peer };
}

const bytes = (text: string) => new TextEncoder().encode(text);

/** Reads until the end of a closed socket. */
async function seesTheEnd(peer: Deno.TcpConn): Promise<void> {
  await readToEnd(peer);
  peer.close();
}

for (const phase of PHASES) {
  for (const way of ["close()", "terminate()", "signal", "shutdown()"] as const) {
    Deno.test(`${way} cancels an attempt that waits for ${phase.name}: AbortError, onClose, nothing open`, async () => {
      await using ctx = new Context();
      const controller = new AbortController();
      const { conn, steps, peer } = await attempt(ctx, phase, {
        signal: controller.signal,
        connectTimeout: 0,
      });
      assertEquals([conn.state, steps], ["connecting", []]);
      if (way === "close()") conn.close();
      else if (way === "terminate()") conn.terminate();
      else if (way === "signal") controller.abort(new Error("enough"));
      else ctx.shutdown();
      const error = await failure(conn.opened);
      assertInstanceOf(error, DOMException);
      assertEquals(error.name, "AbortError");
      const record = await conn.closed;
      assertEquals([record.code, record.cause], [1006, error]);
      assertEquals(steps, ["rejected", "close"]);
      await seesTheEnd(peer);
    });
  }

  Deno.test(`connectTimeout ends an attempt that waits for ${phase.name}`, async () => {
    await using ctx = new Context();
    const { conn, steps, peer } = await attempt(ctx, phase, { connectTimeout: 200 });
    const error = await failure(conn.opened);
    assertMatch(error.message, phase.while);
    assertEquals((await conn.closed).cause, error);
    // The server's response is reported, rather than the timeout of its body.
    if (!/answered/.test(error.message)) {
      assertInstanceOf(error, TimeoutError);
      assertMatch(error.message, /timed out after 200 ms while /);
    }
    assertEquals(steps.toSorted(), ["close", "error", "rejected"]);
    await seesTheEnd(peer);
  });
}

Deno.test("connectTimeout ends an attempt whose TCP connection is never established", async () => {
  await using ctx = new Context();
  // A listener that doesn't accept: connections beyond its backlog get no answer.
  const stuck = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
  const fillers: Deno.TcpConn[] = [];
  const rest = new AbortController();
  const { hostname, port } = stuck.addr;
  const filling = Array.from({ length: 50 }, async () => {
    fillers.push(await Deno.connect({ hostname, port, signal: rest.signal }));
  });
  // The kernel completes at once those that fit into the backlog.
  assert(await standstill(() => fillers.length) < 50, "The backlog never became full");
  rest.abort();
  await Promise.allSettled(filling);
  const conn = ctx.connect(urlOf(stuck), { connectTimeout: 100 });
  const error = await failure(conn.opened);
  assertInstanceOf(error, TimeoutError);
  assertMatch(error.message, /timed out after 100 ms while connecting$/);
  const cancelled = ctx.connect(urlOf(stuck), { connectTimeout: 0 });
  cancelled.close();
  assertEquals((await failure(cancelled.opened)).name, "AbortError");
  await conn.closed;
  for (const filler of fillers) filler.close();
  stuck.close();
});

for (const connectTimeout of [0, Infinity, 2 ** 31, 2 ** 53]) {
  Deno.test(`connectTimeout ${connectTimeout} means no limit`, async () => {
    using clock = new VirtualClock();
    await using ctx = new Context();
    using listener = rawListener();
    const conn = ctx.connect(urlOf(listener), { connectTimeout });
    using peer = new RawPeer(await listener.accept(), "server");
    const request = await peer.readHead();
    await clock.advance(3_600_000);
    await peer.write(upgradeResponse(request));
    await conn.opened;
    conn.terminate();
  });
}

Deno.test("an attempt removes its listener from the signal when it is over, even if a read is pending", async () => {
  await using ctx = new Context();
  let listeners = 0;
  const { signal } = new AbortController();
  const add = signal.addEventListener.bind(signal),
    remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  // A read that never settles.
  const source = {
    read: () => new Promise<number | null>(() => {}),
    write: (data: Uint8Array) => Promise.resolve(data.length),
    closeWrite: () => Promise.resolve(),
    close: () => {},
    readable: new ReadableStream(),
    writable: new WritableStream(),
  };
  const conn = ctx.adopt(source as unknown as Deno.Conn, {
    role: "client",
    url: "ws://localhost/",
    signal,
  });
  await Promise.resolve();
  assertEquals(listeners, 1);
  conn.terminate();
  await conn.closed;
  assertEquals(listeners, 0);
});

Deno.test("address: the address is dialled, and Host and the server name stay those of the URL", async () => {
  await using ctx = new Context({ tls: { caCerts: [ca] } });
  const hosts: (string | null)[] = [];
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    tls: server,
    onHandshake: (request) => void hosts.push(request.headers.get("host")),
  });
  const { port } = listener;
  for (const hostname of ["127.0.0.1", "localhost"]) {
    // No program listens on the port of the URL, and the certificate isn't valid for the address.
    const conn = ctx.connect("wss://localhost:9/", { address: { hostname, port } });
    await conn.opened;
    assertEquals([conn.url, hosts.pop()], ["wss://localhost:9/", "localhost:9"]);
    assertEquals((conn.remoteAddress as Deno.NetAddr).port, port);
  }
  const elsewhere = ctx.connect("wss://elsewhere.example/", {
    address: { hostname: "127.0.0.1", port },
  });
  assertMatch((await failure(elsewhere.opened)).message, /elsewhere\.example .*another host name/);
  const refused = ctx.connect("ws://localhost/", { address: { hostname: "127.0.0.1", port: 1 } });
  assertMatch((await failure(refused.opened)).message, /^Cannot connect to 127\.0\.0\.1:1: /);
});

Deno.test("address: IPv6 is accepted with and without brackets", async () => {
  await using ctx = new Context();
  const listener = ctx.listen({ hostname: "::1" });
  for (const hostname of ["::1", "[::1]"]) {
    const conn = ctx.connect("ws://example.com/", { address: { hostname, port: listener.port } });
    await conn.opened;
  }
});

Deno.test("address: a proxy is asked to connect to the address", async () => {
  await using ctx = new Context();
  using proxy = rawListener();
  const conn = ctx.connect("ws://example.com/", {
    address: { hostname: "192.0.2.7", port: 4444 },
    proxy: `http://127.0.0.1:${proxy.addr.port}`,
  });
  using peer = new RawPeer(await proxy.accept(), "server");
  assertMatch(await peer.readHead(), /^CONNECT 192\.0\.2\.7:4444 HTTP\/1\.1\r\n/);
  await peer.write(head("HTTP/1.1 200 OK"));
  const request = await peer.readHead();
  assertMatch(request, /\r\nHost: example\.com\r\n/);
  await peer.write(upgradeResponse(request));
  await conn.opened;
  conn.terminate();
});

Deno.test("address: invalid values throw at once", () => {
  const ctx = new Context();
  for (
    const [address, kind, message] of [
      ["127.0.0.1:80", TypeError, "use { hostname, port }"],
      [null, TypeError, "use { hostname, port }"],
      [{ port: 1 }, TypeError, "use a host name or an address"],
      [{ hostname: "", port: 1 }, TypeError, "use a host name or an address"],
      [{ hostname: "a b", port: 1 }, TypeError, "use a host name or an address"],
      [{ hostname: "[::1", port: 1 }, TypeError, "use a host name or an address"],
      [{ hostname: "a" }, TypeError, "address.port undefined: use a whole number"],
      [
        { hostname: "a", port: "80" },
        TypeError,
        'address.port "80" (a string): use a whole number',
      ],
      [
        { hostname: "a", port: 0 },
        RangeError,
        "address.port 0: use a whole number from 1 to 65535",
      ],
      [{ hostname: "a", port: 65536 }, RangeError, "port 65536"],
      [{ hostname: "a", port: 1.5 }, RangeError, "port 1.5"],
    ] as const
  ) {
    assertThrows(
      () => ctx.connect("ws://localhost/", { address: address as never }),
      kind,
      message,
    );
  }
  assertThrows(
    () => ctx.connect("ws://a/", { unix: "/x", address: { hostname: "a", port: 1 } }),
    TypeError,
    "give one of them",
  );
});

Deno.test("the error for user info in the URL names the option headers", () => {
  const ctx = new Context();
  for (const url of ["ws://user@localhost/", "wss://user:secret@localhost/"]) {
    const error = assertThrows(() => ctx.connect(url), TypeError, "use the option headers");
    assert(!(error as Error).message.includes("secret"));
  }
});

Deno.test("the response of a server that refuses and closes before it has the whole request is read", async () => {
  await using ctx = new Context();
  const sockets: Socket[] = [];
  const listener = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.end("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno");
  });
  await new Promise<void>((done) => listener.listen(0, "127.0.0.1", done));
  const { port } = listener.address() as { port: number };
  const conn = ctx.connect(`ws://127.0.0.1:${port}/`);
  const error = await failure(conn.opened);
  assertEquals(error.status, 503);
  for (const socket of sockets) socket.destroy();
  await new Promise((done) => listener.close(done));
});
