/** The PROXY protocol in front of everything else, with raw peers. The heads themselves: handshake/proxy_head_test.ts. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { Context } from "../../mod.ts";
import { concat, utf8 } from "../support/bytes.ts";
import { v1, v2, v2Head } from "../support/proxy_head.ts";
import { RawPeer, upgradeRequest } from "../support/raw_peer.ts";
import { turn, until } from "../support/until.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { telling } from "./_peers.ts";
import { mayFail } from "../support/failure.ts";

const LOCAL = { from: ["127.0.0.0/8"] };

/** Reads until the end of a connection. */
async function readAll(conn: Deno.Conn): Promise<string> {
  let text = "";
  const buffer = new Uint8Array(4096), decoder = new TextDecoder();
  try {
    for (let count; (count = await conn.read(buffer)) !== null;) {
      text += decoder.decode(buffer.subarray(0, count), { stream: true });
    }
  } catch {
    text += "reset";
  }
  return text;
}

for (
  const [name, head, address] of [
    ["v1, IPv4", v1("192.0.2.7", 50000), "192.0.2.7 50000"],
    ["v1, IPv6", v1("2001:db8::7", 50000), "2001:db8::7 50000"],
    ["v2", v2("192.0.2.7", 50000), "192.0.2.7 50000"],
    [
      "v2 with TLVs of 4 KiB",
      v2("192.0.2.7", 1, [4, 15, 0, ...Array(4081).fill(0)]),
      "192.0.2.7 1",
    ],
  ] as const
) {
  Deno.test(`PROXY ${name}: the client's address is that of the head`, async () => {
    await using server = telling({ proxyProtocol: LOCAL });
    const { listener, connected, asked } = server;
    using peer = await RawPeer.dial(listener.port);
    await peer.write(head);
    await peer.request();
    await until(() => connected.length === 1);
    assertEquals([connected, asked], [[address], [address]]);
    assert(Deno.inspect([...listener.connections][0]).includes(address.split(" ")[0]));
    using conn = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
    await conn.write(concat(head, utf8("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")));
    assert((await readAll(conn)).endsWith(address));
  });
}

Deno.test("PROXY LOCAL, UNKNOWN and UNSPEC keep the address of the socket", async () => {
  await using server = telling({ proxyProtocol: LOCAL });
  const heads = [utf8("PROXY UNKNOWN\r\n"), v2Head(0x20, 0, []), v2Head(0x21, 0, [1, 2, 3])];
  for (const [index, head] of heads.entries()) {
    using peer = await RawPeer.dial(server.listener.port);
    const { port } = peer.conn.localAddr as Deno.NetAddr;
    await peer.write(head);
    await peer.request();
    await until(() => server.connected.length > index);
    assertEquals(server.connected[index], `127.0.0.1 ${port}`);
  }
});

Deno.test("a PROXY head may be split at every byte, or come in one piece with the request", async () => {
  await using server = telling({ proxyProtocol: LOCAL });
  for (const head of [v1("192.0.2.7", 50000), v2("192.0.2.7", 50000, [4, 0, 2, 0, 0])]) {
    const all = concat(head, upgradeRequest());
    for (let at = 1; at <= head.length + 1; at++) {
      const { length } = server.connected;
      using peer = await RawPeer.dial(server.listener.port);
      await peer.write(all.slice(0, at));
      // The segments usually arrive separately, which isn't guaranteed.
      await turn();
      await peer.write(all.slice(at));
      await peer.readHead();
      assertMatch(peer.head, /^HTTP\/1\.1 101 /, `split at ${at}`);
      await until(() => server.connected.length > length);
      assertEquals(server.connected.at(-1), "192.0.2.7 50000", `split at ${at}`);
    }
  }
  // Each byte in a segment of its own.
  using peer = await RawPeer.dial(server.listener.port);
  for (const byte of concat(v1("192.0.2.8", 1), upgradeRequest())) {
    await peer.write(Uint8Array.of(byte));
    await turn();
  }
  await peer.readHead();
  await until(() => server.connected.at(-1) === "192.0.2.8 1");
  assertEquals(server.failed, []);
});

for (
  const [name, bytes, message] of [
    ["no head", utf8("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), /no PROXY head/],
    ["a line that never ends", utf8("PROXY TCP4 " + "1".repeat(200)), /longer than 107 bytes/],
    ["garbage in a line", utf8("PROXY TCP4 a b c d\r\n"), /"a" as an address/],
    ["a wrong version", v2Head(0x31, 0x11, Array(12).fill(0)), /version 3/],
    ["too short a length", v2Head(0x21, 0x11, Array(11).fill(0)), /11 bytes: too few/],
    ["too long a length", v2Head(0x21, 0x11, Array(12).fill(0), 5000), /5000 bytes: too many/],
    ["an end in the middle of the head", utf8("PROXY TCP4 192.0."), /ended before the PROXY head/],
    ["an end at once", utf8(""), /ended before the PROXY head/],
  ] as const
) {
  Deno.test(`a connection with ${name} as its PROXY head is closed without a response, and reported`, async () => {
    await using server = telling({ proxyProtocol: LOCAL });
    using conn = await Deno.connect({ hostname: "127.0.0.1", port: server.listener.port });
    await conn.write(bytes);
    if (/^an end/.test(name)) await conn.closeWrite();
    assertMatch(await readAll(conn), /^(reset)?$/);
    await until(() => server.failed.length === 1);
    assertEquals(server.failed[0][0].split(" ")[0], "127.0.0.1");
    assertMatch(server.failed[0][1], message);
    assertEquals(server.asked, []);
  });
}

Deno.test("handshakeTimeout and a shutdown end a connection whose PROXY head doesn't come", async () => {
  await using server = telling({ proxyProtocol: LOCAL, handshakeTimeout: 50 });
  using conn = await Deno.connect({ hostname: "127.0.0.1", port: server.listener.port });
  await conn.write(utf8("PROXY "));
  assertEquals(await readAll(conn), "");
  await until(() => server.failed.length === 1);
  assertMatch(server.failed[0][1], /50 ms/);
  const patient = telling({ proxyProtocol: LOCAL, handshakeTimeout: 0 });
  using silent = await Deno.connect({ hostname: "127.0.0.1", port: patient.listener.port });
  await turn();
  await patient.ctx.shutdown();
  assertEquals(await readAll(silent), "");
});

Deno.test("other peers are refused or connect without a PROXY head, and can't forge one", async () => {
  const elsewhere = ["198.51.100.0/24"];
  {
    await using server = telling({ proxyProtocol: { from: elsewhere } });
    using conn = await Deno.connect({ hostname: "127.0.0.1", port: server.listener.port });
    await mayFail(
      conn.write(concat(v1("192.0.2.7", 1), upgradeRequest())),
      "the refusal may come first",
    );
    assertMatch(await readAll(conn), /^(reset)?$/);
    await until(() => server.failed.length === 1);
    assertMatch(server.failed[0][1], /not in proxyProtocol\.from/);
    assertEquals(server.failed[0][0].split(" ")[0], "127.0.0.1");
  }
  await using server = telling({ proxyProtocol: { from: elsewhere, others: "plain" } });
  using peer = await RawPeer.connect(server.listener.port);
  await until(() => server.connected.length === 1);
  assertEquals(server.connected[0], `127.0.0.1 ${(peer.conn.localAddr as Deno.NetAddr).port}`);
  using conn = await Deno.connect({ hostname: "127.0.0.1", port: server.listener.port });
  await conn.write(concat(v1("192.0.2.7", 1), upgradeRequest()));
  assertMatch(await readAll(conn), /^HTTP\/1\.1 400 /);
  assertEquals(server.connected.length, 1);
});

Deno.test("a PROXY head may come before TLS, split within the ClientHello, and with a client certificate", async () => {
  using certificates = makeCertificates();
  const { ca, server: pair, client } = certificates;
  for (const more of [{}, { clientCaCerts: ca }, { resolve: () => pair }]) {
    await using server = telling({ proxyProtocol: LOCAL, tls: { ...pair, ...more } });
    for (const size of [1, 7, 20, 40, 100]) {
      // Like a balancer: it connects, sends the PROXY head, and forwards the client's bytes.
      using front = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const passing = (async () => {
        const inside = await front.accept();
        const outside = await Deno.connect({ hostname: "127.0.0.1", port: server.listener.port });
        const hello = new Uint8Array(4096);
        const count = await inside.read(hello);
        const all = concat(v2("192.0.2.7", size), hello.slice(0, count!));
        await outside.write(all.slice(0, size));
        await turn();
        await outside.write(all.slice(size));
        await Promise.allSettled([
          inside.readable.pipeTo(outside.writable),
          outside.readable.pipeTo(inside.writable),
        ]);
      })();
      const conn = server.ctx.connect(`wss://localhost:${front.addr.port}/`, {
        address: { hostname: "127.0.0.1", port: front.addr.port },
        tls: { caCerts: [ca], ...client },
      });
      await conn.opened;
      conn.send("hello");
      assertEquals(await conn.receive(), "hello");
      conn.close();
      await conn.closed;
      await passing;
      assertEquals(server.connected.at(-1), `192.0.2.7 ${size}`);
    }
    assertEquals(server.failed, []);
  }
});

Deno.test("limits per address count the clients behind a balancer, not the balancer", async () => {
  await using server = telling({ proxyProtocol: LOCAL, maxConnectionsPerAddress: 2 });
  const { port } = server.listener;
  const visit = async (address: string) => {
    const peer = await RawPeer.dial(port);
    await peer.write(concat(v1(address, 1), upgradeRequest()));
    await peer.readHead();
    return peer;
  };
  const status = (peer: RawPeer) => peer.head.split(" ")[1];
  using first = await visit("192.0.2.7");
  using second = await visit("192.0.2.7");
  using third = await visit("192.0.2.7");
  using other = await visit("192.0.2.8");
  assertEquals([first, second, third, other].map(status), ["101", "101", "503", "101"]);
  await until(() => server.failed.length === 1);
  assertMatch(server.failed[0][1], /Too many connections from this address/);
  assertEquals(server.failed[0][0], "192.0.2.7 1");
  first.conn.close();
  await until(() => server.listener.connections.size === 2);
  using again = await visit("192.0.2.7");
  assertEquals(status(again), "101");
});

Deno.test("a PROXY head over a Unix socket gives the client's address", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const unix = `${dir}/socket`;
    await using server = telling({ unix, proxyProtocol: { from: ["unix"] } });
    using peer = new RawPeer(await Deno.connect({ transport: "unix", path: unix }), "client");
    await peer.write(v2("192.0.2.7", 50000));
    await peer.request();
    await until(() => server.connected.length === 1);
    assertEquals(server.connected, ["192.0.2.7 50000"]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("proxyProtocol: invalid options throw at once", () => {
  const ctx = new Context();
  for (
    const proxyProtocol of [
      null,
      "127.0.0.1",
      ["127.0.0.1"],
      {},
      { from: "127.0.0.1" },
      { from: ["127.0.0.1/33"] },
      { from: ["localhost"] },
      { from: [], others: "allow" },
    ]
  ) {
    assertThrows(
      () => ctx.listen({ port: 0, proxyProtocol: proxyProtocol as never }),
      TypeError,
      "Cannot listen with proxyProtocol",
    );
  }
});
